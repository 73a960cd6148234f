//! Times of day in time zones, for policies that know office hours. Feature `zones`.

use std::borrow::Cow;
use std::fmt;

use egret_sdk_macros::settings;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// Hours of the week: from one time of day to another, on some days, in a time zone.
#[settings]
pub struct Hours {
    /// The days on which the hours begin. A night that begins on a Friday ends on the Saturday.
    pub days: Vec<Day>,
    /// When they begin, `08:00`.
    pub from: TimeOfDay,
    /// When they end, `18:00`. Not later than `from`: on the next day.
    pub to: TimeOfDay,
    /// The time zone, `Europe/Paris` or `UTC`.
    pub zone: Zone,
}

/// A day of the week.
#[derive(Copy, PartialEq, Eq)]
#[settings]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TimeOfDay(Time);

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(TimeZone);

/// A moment, `2026-11-23T12:00:00+01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(Timestamp);

impl Moment {
    /// How many seconds it comes after `time`, which is in milliseconds since 1970-01-01 UTC; 0 if it does not.
    #[must_use]
    pub fn seconds_after(&self, time: u64) -> u32 {
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        let left = self.0.as_millisecond().saturating_sub(time) / 1_000;
        u32::try_from(left.max(0)).unwrap_or(u32::MAX)
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let moment = text.parse().map(Self);
        moment.map_err(|_| format!("`{text}` is not a time; write one as 2026-11-23T12:00:00+01:00"))
    }
}

impl Hours {
    /// Whether `time`, in milliseconds since 1970-01-01 UTC, is within the hours.
    #[must_use]
    pub fn contain(&self, time: u64) -> bool {
        let Some(now) = self.local(time) else { return false };
        self.around(&now).any(|(start, end)| start <= now && now < end)
    }

    /// For how many seconds from `time` on [`Self::contain`] answers as it does now; at most a day.
    #[must_use]
    pub fn seconds_until_change(&self, time: u64) -> u32 {
        let Some(now) = self.local(time) else { return 0 };
        let ends = self.around(&now).flat_map(|(start, end)| [start, end]);
        let next = ends.filter(|end| *end > now).map(|end| end.timestamp().as_second()).min();
        let left = next.map_or(86_400, |next| next - now.timestamp().as_second());
        u32::try_from(left.clamp(0, 86_400)).unwrap_or(0)
    }

    fn local(&self, time: u64) -> Option<Zoned> {
        let time = Timestamp::from_millisecond(i64::try_from(time).ok()?).ok()?;
        Some(time.to_zoned(self.zone.0.clone()))
    }

    /// The hours that begin the day before, on the day of, and the day after `now`.
    fn around(&self, now: &Zoned) -> impl Iterator<Item = (Zoned, Zoned)> {
        let today = now.date();
        let days = [today.yesterday(), Ok(today), today.tomorrow()];
        days.into_iter().flatten().filter_map(|day| self.of(day))
    }

    fn of(&self, day: Date) -> Option<(Zoned, Zoned)> {
        self.days.iter().any(|wanted| wanted.weekday() == day.weekday()).then_some(())?;
        let last = if self.to <= self.from { day.tomorrow().ok()? } else { day };
        let at = |day: Date, time: TimeOfDay| day.to_datetime(time.0).to_zoned(self.zone.0.clone()).ok();
        Some((at(day, self.from)?, at(last, self.to)?))
    }
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |digits: &str| match digits.as_bytes() {
            [b'0'..=b'9', b'0'..=b'9'] => digits.parse::<i8>().ok(),
            _ => None,
        };
        let time = text.split_once(':').and_then(|(hours, minutes)| {
            // The end of a day is the start of the next one.
            let hours = if text == "24:00" { 0 } else { number(hours)? };
            Time::new(hours, number(minutes)?, 0, 0).ok()
        });
        time.map(Self).ok_or_else(|| format!("`{text}` is not a time of day; write it as \"08:00\""))
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = if name == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(&name) };
        zone.map(Self).map_err(|_| format!("`{name}` is not a time zone; write one as Europe/Paris, or UTC"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl JsonSchema for TimeOfDay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"})
    }
}

impl JsonSchema for Zone {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "a time zone of the IANA database, Europe/Paris, or UTC"})
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(json: &str) -> Result<Hours, String> {
        crate::policy::read_settings(json)
    }

    fn at(text: &str) -> u64 {
        let time: Timestamp = text.parse().expect("a time");
        u64::try_from(time.as_millisecond()).expect("after 1970")
    }

    const OFFICE: &str =
        r#"{"days": ["mon", "fri"], "from": "08:00", "to": "18:00", "zone": "Europe/Paris"}"#;
    const NIGHT: &str = r#"{"days": ["sat"], "from": "22:00", "to": "06:00", "zone": "Europe/Paris"}"#;

    #[test]
    fn hours_begin_and_end_in_their_zone() {
        for (json, time, expected, left) in [
            (OFFICE, "2026-11-23T06:59:59Z", false, 1),
            (OFFICE, "2026-11-23T07:00:00Z", true, 36_000),
            (OFFICE, "2026-11-23T16:59:00Z", true, 60),
            (OFFICE, "2026-11-23T17:00:00Z", false, 86_400),
            (OFFICE, "2026-11-24T10:00:00Z", false, 86_400),
            // In summer the same hours are an hour earlier in UTC.
            (OFFICE, "2026-07-20T06:00:00Z", true, 36_000),
            (NIGHT, "2026-11-28T20:59:00Z", false, 60),
            (NIGHT, "2026-11-28T21:00:00Z", true, 8 * 3_600),
            (NIGHT, "2026-11-29T04:59:00Z", true, 60),
            (NIGHT, "2026-11-29T05:00:00Z", false, 86_400),
            // The night in which summer begins is an hour shorter.
            (NIGHT, "2026-03-28T21:00:00Z", true, 7 * 3_600),
        ] {
            let hours = hours(json).expect("hours");
            assert_eq!(
                (hours.contain(at(time)), hours.seconds_until_change(at(time))),
                (expected, left),
                "{time}"
            );
        }
    }

    #[test]
    fn what_are_no_hours_is_refused_with_what_to_write() {
        let with = |from: &str, zone: &str| {
            hours(&format!(r#"{{"days": ["mon"], "from": "{from}", "to": "24:00", "zone": "{zone}"}}"#))
        };
        assert!(with("08:00", "Europe/Paris").is_ok());
        for (from, zone, words) in [
            ("8:00", "UTC", "write it as \"08:00\""),
            ("08:60", "UTC", "not a time of day"),
            ("24:30", "UTC", "not a time of day"),
            ("+8:00", "UTC", "not a time of day"),
            ("08:00", "Europe/Lutetia", "not a time zone"),
        ] {
            let error = with(from, zone).expect_err("refused");
            assert!(error.contains(words), "{error}");
        }
    }
}

//! Values of an object, each with its path.

use serde_json::Value;

/// What cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub path: String,
    pub reason: String,
}

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<'v> {
    value: &'v Value,
    path: String,
}

impl<'v> At<'v> {
    /// The spec of an object.
    pub fn spec(value: &'v Value) -> Self {
        Self { value, path: "spec".to_owned() }
    }

    /// That something is wrong here.
    pub fn wrong(&self, reason: impl Into<String>) -> Wrong {
        Wrong { path: self.path.clone(), reason: reason.into() }
    }

    /// What stands under `key`; nothing, where that is left out or null.
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Self { value, path: format!("{}.{key}", self.path) })
    }

    /// It has no key but `known`: of another one it is not known what it would change.
    pub fn has_only(&self, known: &[&str]) -> Result<(), Wrong> {
        let Value::Object(fields) = self.value else { return Err(self.wrong("this is no object")) };
        match fields.iter().find(|(key, value)| !value.is_null() && !known.contains(&key.as_str())) {
            Some((key, _)) => Err(self.wrong(format!("`{key}` is not known here"))),
            None => Ok(()),
        }
    }

    pub fn text(&self) -> Result<&'v str, Wrong> {
        self.value.as_str().ok_or_else(|| self.wrong("this is no text"))
    }

    /// The items of a list.
    pub fn items(&self) -> Result<Vec<Self>, Wrong> {
        let Value::Array(items) = self.value else { return Err(self.wrong("this is no list")) };
        let item = |(place, value)| Self { value, path: format!("{}[{place}]", self.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The items under `key`; none, where that is left out.
    pub fn items_of(&self, key: &str) -> Result<Vec<Self>, Wrong> {
        self.get(key).map_or(Ok(Vec::new()), |list| list.items())
    }

    /// Keys and values.
    pub fn texts(&self) -> Result<Vec<(String, String)>, Wrong> {
        let Value::Object(fields) = self.value else { return Err(self.wrong("this is no object")) };
        let text = |(key, value): (&String, &Value)| {
            let text = value.as_str().ok_or_else(|| self.wrong(format!("`{key}` has no text")))?;
            Ok((key.clone(), text.to_owned()))
        };
        fields.iter().map(text).collect()
    }

    pub fn number(&self) -> Option<u16> {
        self.value.as_u64().and_then(|number| u16::try_from(number).ok())
    }

    /// A port by its number; `None`: it is none.
    pub fn port(&self) -> Option<u16> {
        self.number().filter(|port| *port > 0)
    }
}

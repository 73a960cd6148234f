"""Lets partners be reached on the days they work: on the listed weekdays, and not on holidays. In Python, for what its
standard library has ready: calendars, and regular expressions for names."""

import json
import re
from datetime import date, datetime, time, timedelta, timezone

import wit_world
from componentize_py_types import Err
from wit_world.imports.types import (
    Attempt, Decision, Description, Input, Scope, Verdict_Allow, Verdict_Deny, Verdict_Next)

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rules"],
    "properties": {
        "offset": {"type": "string", "description": "The local time's distance to UTC, `+01:00`; else `+00:00`."},
        "rules": {
            "type": "array",
            "description": "The first one whose names match decides.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["names", "days"],
                "properties": {
                    "names": {"type": "string", "description": "A regular expression that matches the whole name."},
                    "days": {"type": "array", "items": {"enum": DAYS}, "description": "When they work."},
                    "holidays": {
                        "type": "object",
                        "additionalProperties": {"type": "string"},
                        "description": "When they do not work all the same: `2026-12-25: Christmas`.",
                    },
                },
            },
        },
    },
}


class WitWorld(wit_world.WitWorld):
    """The three functions of a policy module."""

    def describe(self) -> Description:
        return Description(
            summary="Lets partners be reached on the days they work.",
            version="0.1.0",
            inputs=[Input.NAMES, Input.TIME],
            settings_schema=json.dumps(SCHEMA),
        )

    def configure(self, settings: str) -> None:
        global zone, rules
        try:
            given = checked(json.loads(settings), SCHEMA, "settings")
            zone = offset(given.get("offset", "+00:00"))
            rules = [Rule(rule) for rule in given["rules"]]
        except ValueError as error:
            raise Err(str(error))

    def decide(self, attempt: Attempt) -> Decision:
        now = datetime.fromtimestamp(attempt.time / 1000, timezone.utc).astimezone(zone)
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), zone)
        # The agent caps this: what a module says that reads the time counts for a minute at most.
        seconds = max(int((midnight - now).total_seconds()), 1)
        for name in attempt.destination.names:
            for rule in rules:
                if rule.names.fullmatch(name):
                    why = rule.closed_on(now.date())
                    verdict = Verdict_Deny(f"{name} is closed today: {why}") if why else Verdict_Allow()
                    return Decision(verdict, Scope.ADDRESS, seconds)
        return Decision(Verdict_Next(), Scope.ADDRESS, seconds)


class Rule:
    """Who works when."""

    def __init__(self, given: dict):
        try:
            self.names = re.compile(given["names"])
        except re.error as error:
            raise ValueError(f"`{given['names']}` is no regular expression: {error}")
        self.days = given["days"]
        self.holidays = {day_of(text): why for text, why in given.get("holidays", {}).items()}

    def closed_on(self, today: date) -> str | None:
        """Why nobody is there; None where they work."""
        weekday = DAYS[today.weekday()]
        return self.holidays.get(today) or (None if weekday in self.days else weekday)


def day_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text}` is no day; write it as 2026-12-25")


def offset(text: str):
    try:
        return datetime.fromisoformat(f"2026-01-01T00:00:00{text}").tzinfo or timezone.utc
    except ValueError:
        raise ValueError(f"`{text}` is no distance to UTC; write it as +01:00")


def checked(given, schema: dict, place: str):
    """What was given, where it fits the schema; of JSON schema this knows what is used above."""
    kinds = {"object": dict, "array": list, "string": str}
    if "enum" in schema and given not in schema["enum"]:
        raise ValueError(f"{place}: `{given}` is none of {', '.join(schema['enum'])}")
    if "type" in schema and not isinstance(given, kinds[schema["type"]]):
        raise ValueError(f"{place}: `{json.dumps(given)}` is no {schema['type']}")
    if isinstance(given, list):
        for at, item in enumerate(given):
            checked(item, schema["items"], f"{place}[{at}]")
    if isinstance(given, dict):
        for key in schema.get("required", []):
            if key not in given:
                raise ValueError(f"{place}: `{key}` is missing")
        for key, value in given.items():
            inner = schema.get("properties", {}).get(key, schema["additionalProperties"])
            if inner is False:
                raise ValueError(f"{place}: `{key}` is unknown")
            checked(value, inner, f"{place}.{key}")
    return given


zone = timezone.utc
rules: list[Rule] = []

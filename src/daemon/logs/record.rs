//! A log line with its fields.

use std::fmt::{self, Debug};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::printable::clean;

/// What is logged at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) level: Level,
    pub(super) message: String,
    /// Names and values, in the order of the program.
    pub(super) fields: Vec<(&'static str, String)>,
}

/// Hands each record to a function.
pub(super) struct Records<F>(pub(super) F);

impl<S: Subscriber, F: Fn(&Record) + 'static> Layer<S> for Records<F> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut record = Record::new(*event.metadata().level());
        event.record(&mut record);
        (self.0)(&record);
    }
}

impl Record {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level,
            message: String::new(),
            fields: Vec::new(),
        }
    }

    /// Returns one line of JSON, with the time in UTC.
    pub(super) fn to_json(&self) -> String {
        let mut object = Map::new();
        let mut put = |name: &str, value: &str| object.insert(name.to_owned(), Value::from(value));
        put("time", &jiff::Timestamp::now().to_string());
        put("level", &self.level.as_str().to_ascii_lowercase());
        put("message", &self.message);
        for (name, value) in &self.fields {
            put(name, value);
        }
        Value::Object(object).to_string()
    }

    /// Takes a field, without what steers the terminal of who reads the log.
    fn put(&mut self, field: &Field, value: &str) {
        let value = clean(value).into_owned();
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.level, self.message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_line_keeps_its_fields_and_what_is_not_there_is_none() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let layer = Records(move |record: &Record| kept.lock().expect("one thread").push(record.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let (some, none) = (Some("bob"), None::<&str>);
            tracing::warn!(
                event = "link-lost",
                peer = some,
                peer_key = none,
                "link to {} is lost",
                "bob"
            );
        });
        let seen = seen.lock().expect("one thread");
        let [record] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(record.to_string(), "WARN link to bob is lost");
        assert_eq!(
            record.fields,
            [("event", "link-lost".to_owned()), ("peer", "bob".to_owned())]
        );
        let json: Value = serde_json::from_str(&record.to_json()).expect("JSON");
        let words = ["level", "message", "event", "peer"].map(|name| json[name].as_str().unwrap_or_default());
        assert_eq!(words, ["warn", "link to bob is lost", "link-lost", "bob"]);
        assert!(json["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
    }
}

//! Catches what is logged at ERROR: by the house rules that is a bug.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Runs something and returns its result and the lines that it logged at ERROR on this thread.
pub fn catch<R>(run: impl FnOnce() -> R) -> (R, Vec<String>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let result = tracing::subscriber::with_default(
        Catcher {
            lines: Arc::clone(&lines),
        },
        run,
    );
    let caught = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    (result, caught)
}

struct Catcher {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Subscriber for Catcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_caught_and_warnings_are_not() {
        let ((), lines) = catch(|| {
            tracing::warn!("not this");
            tracing::error!(count = 3, "this");
        });
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("this") && lines[0].contains("count=3"),
            "{lines:?}"
        );
    }
}

//! What happened, one line per fact, with milliseconds.

use std::time::Instant;

use anstyle::{AnsiColor, Style};

/// Prints facts as they come.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
}

/// Who a fact is about.
#[derive(Clone, Copy, Debug)]
pub enum Actor {
    Demo,
    Branch,
    Hub,
    Reader,
}

/// How a fact is to be seen.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    Plain,
    Good,
    Bad,
}

impl Timeline {
    /// Begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self { began: now }
    }

    /// Prints a headline.
    pub fn headline(text: &str) {
        let bold = Style::new().bold();
        anstream::println!("\n{bold}{text}{bold:#}");
    }

    /// Prints one fact.
    pub fn fact(&self, at: Instant, actor: Actor, mood: Mood, text: &str) {
        let millis = at.saturating_duration_since(self.began).as_secs_f64() * 1e3;
        let (name, color) = match actor {
            Actor::Demo => ("demo", AnsiColor::White),
            Actor::Branch => ("branch", AnsiColor::Cyan),
            Actor::Hub => ("hub", AnsiColor::Magenta),
            Actor::Reader => ("reader", AnsiColor::Yellow),
        };
        let who = color.on_default();
        let what = match mood {
            Mood::Plain => Style::new(),
            Mood::Good => AnsiColor::Green.on_default(),
            Mood::Bad => AnsiColor::Red.on_default(),
        };
        anstream::println!("{millis:10.1} ms  {who}{name:<7}{who:#} {what}{text}{what:#}");
    }
}

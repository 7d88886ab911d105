//! A progress bar on a terminal, and nothing elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};

const WIDTH: u32 = 30;

/// The bar of one scenario.
#[derive(Debug)]
pub(crate) struct Progress {
    label: &'static str,
    total: u32,
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(label: &'static str, total: u32) -> Self {
        let progress = Self {
            label,
            total,
            is_shown: stderr().is_terminal(),
        };
        progress.show(0);
        progress
    }

    pub(crate) fn show(&self, done: u32) {
        if self.is_shown {
            // A bar that cannot be drawn is no reason to stop.
            let _ = write!(stderr().lock(), "\r{}", self.text(done));
        }
    }

    pub(crate) fn clear(&self) {
        if self.is_shown {
            let _ = write!(stderr().lock(), "\r\x1b[K");
        }
    }

    fn text(&self, done: u32) -> String {
        let filled = (WIDTH * done)
            .checked_div(self.total)
            .unwrap_or(WIDTH)
            .min(WIDTH);
        let bar = "#".repeat(usize::try_from(filled).unwrap_or(0));
        let rest = ".".repeat(usize::try_from(WIDTH - filled).unwrap_or(0));
        format!("{:<24} [{bar}{rest}] {done}/{}", self.label, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_runs_are_done() {
        let progress = Progress {
            label: "x",
            total: 10,
            is_shown: false,
        };
        assert!(
            progress
                .text(0)
                .contains(&format!("[{}] 0/10", ".".repeat(30)))
        );
        assert!(
            progress
                .text(5)
                .contains(&format!("[{}{}] 5/10", "#".repeat(15), ".".repeat(15)))
        );
        assert!(
            progress
                .text(10)
                .contains(&format!("[{}] 10/10", "#".repeat(30)))
        );
    }
}

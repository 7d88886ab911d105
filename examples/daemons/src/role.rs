//! Which of the two daemons this is.

/// The two ends of a tunnel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a tunnel has two ends")]
pub enum Role {
    /// The one that branches connect to.
    Hub,
    /// The one that connects.
    Branch,
}

impl Role {
    /// The daemon's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Branch => "branch",
        }
    }
}

//! Cuts the octets of a fuzzer into the steps of a machine's life.

use std::time::Duration;

/// Takes operands off the front of the input; what is missing reads as zero or as empty.
pub(crate) struct Steps<'a> {
    rest: &'a [u8],
}

impl<'a> Steps<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    /// The next step's code, until the input ends.
    pub(crate) fn next_code(&mut self) -> Option<u8> {
        let (code, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*code)
    }

    /// One octet.
    pub(crate) fn octet(&mut self) -> u8 {
        self.next_code().unwrap_or(0)
    }

    /// Two octets as a number.
    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.octet(), self.octet()])
    }

    /// Two octets as milliseconds.
    pub(crate) fn millis(&mut self) -> Duration {
        Duration::from_millis(self.number().into())
    }

    /// A string: two octets of length, then as many as there are.
    pub(crate) fn string(&mut self) -> &'a [u8] {
        let len = usize::from(self.number()).min(self.rest.len());
        let (string, rest) = self.rest.split_at(len);
        self.rest = rest;
        string
    }
}

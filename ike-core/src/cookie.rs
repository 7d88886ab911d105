//! The two cookies that name an ISAKMP SA, RFC 2408 sections 2.5.3 and 3.1.

use core::fmt;

use crate::crypto::SecureRandom;

/// Cookie of the side that sent the first message. Opaque, never zero in a valid message.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InitiatorCookie([u8; 8]);

/// Cookie of the side that answered. Zero until it has.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResponderCookie([u8; 8]);

/// Both cookies: the name of an ISAKMP SA, and the SPI by which it is deleted.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CookiePair {
    initiator: InitiatorCookie,
    responder: ResponderCookie,
}

impl InitiatorCookie {
    /// Takes the octets as they are on the wire.
    pub const fn new(octets: [u8; 8]) -> Self {
        Self(octets)
    }

    /// Draws a cookie that is not zero.
    pub fn generate(random: &dyn SecureRandom) -> Self {
        Self(non_zero_octets(random))
    }

    /// The octets as they are on the wire.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }

    /// Whether every octet is zero, which no initiator may send.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }
}

impl ResponderCookie {
    /// The cookie of a responder that has not answered yet.
    pub const ZERO: Self = Self([0; 8]);

    /// Takes the octets as they are on the wire.
    pub const fn new(octets: [u8; 8]) -> Self {
        Self(octets)
    }

    /// Draws a cookie that is not zero. With `shard`, its first octet is that number, so that a
    /// stateless balancer can find the worker that owns the SA.
    pub fn generate(random: &dyn SecureRandom, shard: Option<u8>) -> Self {
        let mut octets = non_zero_octets(random);
        if let Some(shard) = shard {
            let [first, ..] = &mut octets;
            *first = shard;
        }
        // A shard number of zero over seven zero octets: once in 2^56.
        if octets == [0; 8] {
            octets = [0, 0, 0, 0, 0, 0, 0, 1];
        }
        Self(octets)
    }

    /// The octets as they are on the wire.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }

    /// Whether every octet is zero: the responder has not answered yet.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }
}

impl CookiePair {
    /// Joins the two cookies.
    pub const fn new(initiator: InitiatorCookie, responder: ResponderCookie) -> Self {
        Self {
            initiator,
            responder,
        }
    }

    /// Takes the 16 octets that name an ISAKMP SA in a Delete or a Notification payload.
    pub fn from_octets(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = octets;
        Self::new(
            InitiatorCookie([a, b, c, d, e, f, g, h]),
            ResponderCookie(rest),
        )
    }

    /// Takes the SPI field of a Delete or a Notification payload, if it is 16 octets long.
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self::from_octets)
    }

    /// The initiator's cookie.
    pub const fn initiator(self) -> InitiatorCookie {
        self.initiator
    }

    /// The responder's cookie.
    pub const fn responder(self) -> ResponderCookie {
        self.responder
    }

    /// Both cookies as they follow each other on the wire: `CKY-I | CKY-R`.
    pub fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        let (initiator, responder) = octets.split_at_mut(8);
        initiator.copy_from_slice(&self.initiator.0);
        responder.copy_from_slice(&self.responder.0);
        octets
    }
}

impl fmt::Debug for InitiatorCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InitiatorCookie({self})")
    }
}

impl fmt::Display for InitiatorCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(f, &self.0)
    }
}

impl fmt::Debug for ResponderCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponderCookie({self})")
    }
}

impl fmt::Display for ResponderCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(f, &self.0)
    }
}

impl fmt::Debug for CookiePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookiePair({self})")
    }
}

impl fmt::Display for CookiePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.initiator, self.responder)
    }
}

fn hexadecimal(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

fn non_zero_octets(random: &dyn SecureRandom) -> [u8; 8] {
    let mut octets = [0; 8];
    random.fill(&mut octets);
    if octets == [0; 8] {
        // Only a broken or a fuzzer's random source comes here.
        octets = [0, 0, 0, 0, 0, 0, 0, 1];
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Constant(u8);

    impl SecureRandom for Constant {
        fn fill(&self, octets: &mut [u8]) {
            octets.fill(self.0);
        }
    }

    #[test]
    fn a_generated_cookie_is_never_zero() {
        assert!(!InitiatorCookie::generate(&Constant(0)).is_zero());
        assert!(!ResponderCookie::generate(&Constant(0), None).is_zero());
        assert!(!ResponderCookie::generate(&Constant(0), Some(0)).is_zero());
    }

    #[test]
    fn the_shard_is_the_first_octet() {
        let cookie = ResponderCookie::generate(&Constant(0x55), Some(7));
        assert_eq!(
            cookie.octets(),
            [7, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55]
        );
    }

    #[test]
    fn a_pair_survives_its_sixteen_octets() {
        let octets = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let pair = CookiePair::from_octets(octets);
        assert_eq!(pair.octets(), octets);
        assert_eq!(CookiePair::from_slice(&octets), Some(pair));
        assert_eq!(CookiePair::from_slice(&octets[1..]), None);
        assert_eq!(pair.to_string(), "0001020304050607:08090a0b0c0d0e0f");
    }
}

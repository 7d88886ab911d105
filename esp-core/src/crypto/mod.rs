//! What an SA asks of cryptography: one object that seals and one that opens, made once per SA.

#[cfg(any(feature = "ring", feature = "rustcrypto"))]
mod parts;
#[cfg(feature = "ring")]
pub mod ring;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::Debug;
use core::ops::Range;

use crate::error::{OpenError, SaError, SealError};
use crate::sa::{OpenSlot, SealSlot};
use crate::suite::EspSuite;

/// Where cryptography comes from. Passed explicitly; there is no default and no feature chooses
/// one.
///
/// Composed by struct update, such as `CryptoProvider { backends: &[&ring::Ring,
/// &rustcrypto::RustCrypto], ..rustcrypto::provider() }`.
#[expect(
    clippy::exhaustive_structs,
    reason = "struct update is how providers are composed"
)]
#[derive(Clone, Debug)]
pub struct CryptoProvider {
    /// Implementations of suites, in order of preference.
    pub backends: &'static [&'static dyn Backend],
    /// Where the keys of IV generators come from.
    pub secure_random: Arc<dyn SecureRandom>,
}

impl CryptoProvider {
    /// Whether some backend implements the suite.
    #[must_use]
    pub fn supports(&self, suite: EspSuite) -> bool {
        self.backends.iter().any(|backend| backend.supports(suite))
    }

    /// The sealing half of a suite under a key, from the first backend that has it.
    ///
    /// # Errors
    ///
    /// [`SaError::UnsupportedSuite`] if none has, [`SaError::KeymatLength`] unless `keymat` is as
    /// long as the suite takes.
    pub fn sealer(&self, suite: EspSuite, keymat: &[u8]) -> Result<Box<dyn Sealer>, SaError> {
        check_keymat(suite, keymat)?;
        self.backends
            .iter()
            .find_map(|backend| backend.sealer(suite, keymat, &*self.secure_random))
            .ok_or(SaError::UnsupportedSuite)
    }

    /// The opening half of a suite under a key, from the first backend that has it.
    ///
    /// # Errors
    ///
    /// As [`sealer`](Self::sealer).
    pub fn opener(&self, suite: EspSuite, keymat: &[u8]) -> Result<Box<dyn Opener>, SaError> {
        check_keymat(suite, keymat)?;
        self.backends
            .iter()
            .find_map(|backend| backend.opener(suite, keymat))
            .ok_or(SaError::UnsupportedSuite)
    }
}

fn check_keymat(suite: EspSuite, keymat: &[u8]) -> Result<(), SaError> {
    let (expected, got) = (suite.keymat_len(), keymat.len());
    if expected == got {
        Ok(())
    } else {
        Err(SaError::KeymatLength { expected, got })
    }
}

/// An implementation of one or more suites.
pub trait Backend: Debug + Send + Sync {
    /// Whether [`sealer`](Self::sealer) and [`opener`](Self::opener) give something for the suite.
    fn supports(&self, suite: EspSuite) -> bool;

    /// The sealing half; `None` for a suite that the backend does not have, or if `keymat` is not
    /// [`EspSuite::keymat_len`] long.
    fn sealer(
        &self,
        suite: EspSuite,
        keymat: &[u8],
        random: &dyn SecureRandom,
    ) -> Option<Box<dyn Sealer>>;

    /// The opening half; `None` as for [`sealer`](Self::sealer).
    fn opener(&self, suite: EspSuite, keymat: &[u8]) -> Option<Box<dyn Opener>>;
}

/// Encrypts and authenticates packets of one SA.
///
/// A packet is laid out as on the wire: SPI, low half of the sequence number, IV, padded plaintext,
/// room for the ICV. Of the sequence number that is passed beside it only an extended one's high
/// half counts.
pub trait Sealer: Debug + Send + Sync {
    /// Writes the IV for the packet of that number.
    ///
    /// No two numbers have the same IV, and where the cipher wants IVs that nobody can predict,
    /// nobody can.
    fn write_iv(&self, sequence: u64, iv: &mut [u8]);

    /// Encrypts in place under the IV that is in the packet and writes the ICV.
    ///
    /// # Errors
    ///
    /// [`SealError::Refused`] if the packet is not laid out for the suite, or is longer than the
    /// cipher takes.
    fn seal(&self, sequence: u64, packet: &mut [u8]) -> Result<(), SealError>;

    /// Does the same for several packets, side by side where that is faster than one by one.
    ///
    /// # Errors
    ///
    /// As [`seal`](Self::seal), and then none of the packets may be sent.
    fn seal_batch(&self, slots: &mut [SealSlot<'_>]) -> Result<(), SealError> {
        slots.iter_mut().try_for_each(|slot| {
            let (sequence, packet) = slot.lane();
            self.seal(sequence, packet)
        })
    }
}

/// Verifies and decrypts packets of one SA.
pub trait Opener: Debug + Send + Sync {
    /// Verifies the ICV of a whole ESP packet and then decrypts it in place; gives the range of the
    /// padded plaintext. Of `sequence` only an extended number's high half counts.
    ///
    /// # Errors
    ///
    /// [`OpenError::Truncated`] or [`OpenError::Misaligned`] if the packet cannot be of the suite,
    /// [`OpenError::BadIcv`] if it is not authentic. The octets of the packet are unspecified
    /// afterwards.
    fn open(&self, sequence: u64, packet: &mut [u8]) -> Result<Range<usize>, OpenError>;

    /// Does the same for several packets, side by side where that is faster than one by one, and
    /// leaves to each slot what came out.
    fn open_batch(&self, slots: &mut [OpenSlot<'_>]) {
        for slot in slots {
            if let Some((sequence, packet)) = slot.lane() {
                let outcome = self.open(sequence, packet);
                slot.settle(outcome);
            }
        }
    }

    /// Whether [`open_batch`](Self::open_batch) is faster than opening one by one.
    fn prefers_batches(&self) -> bool {
        false
    }
}

/// Random octets that nobody can predict.
pub trait SecureRandom: Debug + Send + Sync {
    /// Fills all of `octets`.
    fn fill(&self, octets: &mut [u8]);
}

//! HMAC, RFC 2104, over whole packets, cut as RFC 2403, RFC 2404 and RFC 4868 say.
//!
//! Made of the compression functions directly, for two reasons. The SA keeps the two states that
//! the key leads to and each packet starts from a copy, so that the key is never hashed again. And
//! two packets can be hashed side by side, block by block in turn: the processor overlaps the two
//! chains, where one chain alone leaves it waiting for itself.

use alloc::boxed::Box;
use core::fmt;

use ctutils::CtEq;
use zeroize::Zeroize;

use crate::suite::Integrity;

/// A keyed hash that authenticates a packet and, without ever being sent, the high half of its
/// sequence number.
pub(super) trait PacketMac: fmt::Debug + Send + Sync {
    /// Writes the ICV; it is cut to the length of `icv`.
    fn sign(&self, message: Message<'_>, icv: &mut [u8]);

    /// Whether the ICV is right, in time that does not depend on where it is wrong. `icv` is as
    /// long as the suite has it.
    fn verify(&self, message: Message<'_>, icv: &[u8]) -> bool;

    /// Signs two packets, side by side where that gains.
    fn sign_both(&self, messages: [Message<'_>; 2], icvs: [&mut [u8]; 2]);

    /// Verifies two packets, side by side where that gains.
    fn verify_both(&self, messages: [Message<'_>; 2], icvs: [&[u8]; 2]) -> [bool; 2];

    /// Whether two packets take less time than twice one takes.
    fn gains_side_by_side(&self) -> bool;
}

/// What is authenticated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The packet without its ICV.
    pub(super) packet: &'a [u8],
    /// The high half of an extended sequence number, or nothing.
    pub(super) high_half: &'a [u8],
}

pub(super) const fn supports(integrity: Integrity) -> bool {
    match integrity {
        Integrity::HmacMd5_96 => cfg!(feature = "legacy"),
        Integrity::HmacSha1_96
        | Integrity::HmacSha256_96
        | Integrity::HmacSha256_128
        | Integrity::HmacSha384_192
        | Integrity::HmacSha512_256 => true,
    }
}

pub(super) fn keyed(integrity: Integrity, key: &[u8]) -> Option<Box<dyn PacketMac>> {
    Some(match integrity {
        #[cfg(feature = "legacy")]
        Integrity::HmacMd5_96 => Box::new(Hmac::<Md5, 64>::new(key)?),
        #[cfg(not(feature = "legacy"))]
        Integrity::HmacMd5_96 => return None,
        Integrity::HmacSha1_96 => Box::new(Hmac::<Sha1, 64>::new(key)?),
        Integrity::HmacSha256_96 | Integrity::HmacSha256_128 => {
            Box::new(Hmac::<Sha256, 64>::new(key)?)
        }
        Integrity::HmacSha384_192 => Box::new(Hmac::<Sha384, 128>::new(key)?),
        Integrity::HmacSha512_256 => Box::new(Hmac::<Sha512, 128>::new(key)?),
    })
}

/// A Merkle-Damgård hash with blocks of `BLOCK` octets.
trait Hash<const BLOCK: usize>: Send + Sync + 'static {
    /// The chaining value.
    type State: Copy + Send + Sync + Zeroize;
    /// Octets of the digest.
    const DIGEST_LEN: usize;
    /// Octets of the message length at the end of the last block.
    const LENGTH_LEN: usize;
    /// Whether two chains that take turns are done sooner than one after the other: where a chain
    /// waits for itself, as with the processor's own instructions for SHA-1 and SHA-256.
    const SIDE_BY_SIDE: bool = true;

    fn initial() -> Self::State;

    fn compress(state: &mut Self::State, blocks: &[[u8; BLOCK]]);

    fn digest(state: &Self::State) -> Digest;

    /// Message lengths are little-endian in MD5 alone.
    fn length(bits: u64) -> [u8; 8] {
        bits.to_be_bytes()
    }
}

/// Room for the longest digest.
type Digest = [u8; 64];

/// The states after the block that the key makes, inner and outer; whoever has them can sign.
struct Hmac<H: Hash<BLOCK>, const BLOCK: usize> {
    inner: H::State,
    outer: H::State,
}

impl<H: Hash<BLOCK>, const BLOCK: usize> Hmac<H, BLOCK> {
    /// `None` for a key longer than a block, which no suite has.
    fn new(key: &[u8]) -> Option<Self> {
        let mut block = [0; BLOCK];
        block.get_mut(..key.len())?.copy_from_slice(key);
        let inner = Self::pad(&mut block, 0x36);
        let outer = Self::pad(&mut block, 0x36 ^ 0x5C);
        block.zeroize();
        Some(Self { inner, outer })
    }

    fn pad(block: &mut [u8; BLOCK], pad: u8) -> H::State {
        for octet in block.iter_mut() {
            *octet ^= pad;
        }
        let mut state = H::initial();
        H::compress(&mut state, core::slice::from_ref(block));
        state
    }

    fn mac(&self, message: Message<'_>) -> Digest {
        let (blocks, rest) = message.packet.as_chunks::<BLOCK>();
        let mut state = self.inner;
        H::compress(&mut state, blocks);
        H::compress(
            &mut state,
            Last::<BLOCK>::inner::<H>(message, rest).blocks(),
        );
        let mut outer = self.outer;
        H::compress(
            &mut outer,
            Last::<BLOCK>::outer::<H>(&H::digest(&state)).blocks(),
        );
        H::digest(&outer)
    }

    fn mac_both(&self, [first, second]: [Message<'_>; 2]) -> [Digest; 2] {
        if !H::SIDE_BY_SIDE {
            return [self.mac(first), self.mac(second)];
        }
        let (first_blocks, first_rest) = first.packet.as_chunks::<BLOCK>();
        let (second_blocks, second_rest) = second.packet.as_chunks::<BLOCK>();
        let mut states = [self.inner; 2];
        Self::compress_both(&mut states, [first_blocks, second_blocks]);
        let first_last = Last::<BLOCK>::inner::<H>(first, first_rest);
        let second_last = Last::<BLOCK>::inner::<H>(second, second_rest);
        Self::compress_both(&mut states, [first_last.blocks(), second_last.blocks()]);
        let lasts = states
            .each_ref()
            .map(|state| Last::<BLOCK>::outer::<H>(&H::digest(state)));
        let mut states = [self.outer; 2];
        Self::compress_both(&mut states, lasts.each_ref().map(Last::blocks));
        states.each_ref().map(H::digest)
    }

    /// Block by block in turn, then the rest of the longer one.
    fn compress_both([first, second]: &mut [H::State; 2], blocks: [&[[u8; BLOCK]]; 2]) {
        let [first_blocks, second_blocks] = blocks;
        let common = first_blocks.len().min(second_blocks.len());
        let (first_both, first_alone) = first_blocks.split_at(common);
        let (second_both, second_alone) = second_blocks.split_at(common);
        for (one, other) in first_both.iter().zip(second_both) {
            H::compress(first, core::slice::from_ref(one));
            H::compress(second, core::slice::from_ref(other));
        }
        H::compress(first, first_alone);
        H::compress(second, second_alone);
    }
}

impl<H: Hash<BLOCK>, const BLOCK: usize> PacketMac for Hmac<H, BLOCK> {
    fn sign(&self, message: Message<'_>, icv: &mut [u8]) {
        copy_truncated(&self.mac(message), icv);
    }

    fn verify(&self, message: Message<'_>, icv: &[u8]) -> bool {
        eq_truncated(&self.mac(message), icv)
    }

    fn sign_both(&self, messages: [Message<'_>; 2], icvs: [&mut [u8]; 2]) {
        for (mac, icv) in self.mac_both(messages).iter().zip(icvs) {
            copy_truncated(mac, icv);
        }
    }

    fn verify_both(&self, messages: [Message<'_>; 2], icvs: [&[u8]; 2]) -> [bool; 2] {
        let [first, second] = self.mac_both(messages);
        let [first_icv, second_icv] = icvs;
        [
            eq_truncated(&first, first_icv),
            eq_truncated(&second, second_icv),
        ]
    }

    fn gains_side_by_side(&self) -> bool {
        H::SIDE_BY_SIDE
    }
}

impl<H: Hash<BLOCK>, const BLOCK: usize> Drop for Hmac<H, BLOCK> {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl<H: Hash<BLOCK>, const BLOCK: usize> fmt::Debug for Hmac<H, BLOCK> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hmac([{} octets])", 2 * size_of::<H::State>())
    }
}

fn copy_truncated(mac: &Digest, icv: &mut [u8]) {
    if let Some(mac) = mac.get(..icv.len()) {
        icv.copy_from_slice(mac);
    }
}

fn eq_truncated(mac: &Digest, icv: &[u8]) -> bool {
    mac.get(..icv.len())
        .is_some_and(|mac| mac.ct_eq(icv).into())
}

/// The padded end of a hashed message: one block or two.
struct Last<const BLOCK: usize> {
    blocks: [[u8; BLOCK]; 2],
    count: usize,
}

impl<const BLOCK: usize> Last<BLOCK> {
    /// The end of the inner hash: what is left of the packet, and the high half.
    fn inner<H: Hash<BLOCK>>(message: Message<'_>, rest: &[u8]) -> Self {
        let len = message.packet.len() + message.high_half.len();
        Self::padded::<H>([rest, message.high_half], len)
    }

    /// The end of the outer hash, which is all of it: the inner digest.
    fn outer<H: Hash<BLOCK>>(digest: &Digest) -> Self {
        Self::padded::<H>(
            [digest.get(..H::DIGEST_LEN).unwrap_or(&[]), &[]],
            H::DIGEST_LEN,
        )
    }

    /// The octets, a one bit, zeroes, and the length in bits of the whole message with the key's
    /// block. The two parts are shorter than a block and four octets together.
    fn padded<H: Hash<BLOCK>>(parts: [&[u8]; 2], message_len: usize) -> Self {
        let mut blocks = [[0; BLOCK]; 2];
        let octets = blocks.as_flattened_mut();
        let mut at = 0;
        for part in parts {
            if let Some(room) = octets.get_mut(at..at + part.len()) {
                room.copy_from_slice(part);
            }
            at += part.len();
        }
        if let Some(end) = octets.get_mut(at) {
            *end = 0x80;
        }
        let count = if at + 1 + H::LENGTH_LEN <= BLOCK {
            1
        } else {
            2
        };
        let bits = (BLOCK + message_len) as u64 * 8;
        // Of a length field of 16 octets, the first eight stay zero.
        if let Some(field) = octets.get_mut(count * BLOCK - 8..count * BLOCK) {
            field.copy_from_slice(&H::length(bits));
        }
        Self { blocks, count }
    }

    fn blocks(&self) -> &[[u8; BLOCK]] {
        self.blocks.get(..self.count).unwrap_or(&[])
    }
}

/// FIPS 180-4 section 6.1.
struct Sha1;

impl Hash<64> for Sha1 {
    type State = [u32; 5];
    const DIGEST_LEN: usize = 20;
    const LENGTH_LEN: usize = 8;

    fn initial() -> Self::State {
        [
            0x6745_2301,
            0xEFCD_AB89,
            0x98BA_DCFE,
            0x1032_5476,
            0xC3D2_E1F0,
        ]
    }

    fn compress(state: &mut Self::State, blocks: &[[u8; 64]]) {
        sha1::block_api::compress(state, blocks);
    }

    fn digest(state: &Self::State) -> Digest {
        join(state.map(u32::to_be_bytes))
    }
}

/// FIPS 180-4 section 6.2.
struct Sha256;

impl Hash<64> for Sha256 {
    type State = [u32; 8];
    const DIGEST_LEN: usize = 32;
    const LENGTH_LEN: usize = 8;

    fn initial() -> Self::State {
        [
            0x6A09_E667,
            0xBB67_AE85,
            0x3C6E_F372,
            0xA54F_F53A,
            0x510E_527F,
            0x9B05_688C,
            0x1F83_D9AB,
            0x5BE0_CD19,
        ]
    }

    fn compress(state: &mut Self::State, blocks: &[[u8; 64]]) {
        sha2::block_api::compress256(state, blocks);
    }

    fn digest(state: &Self::State) -> Digest {
        join(state.map(u32::to_be_bytes))
    }
}

/// FIPS 180-4 section 6.5.
struct Sha384;

impl Hash<128> for Sha384 {
    type State = [u64; 8];
    const DIGEST_LEN: usize = 48;
    const LENGTH_LEN: usize = 16;
    const SIDE_BY_SIDE: bool = false;

    fn initial() -> Self::State {
        [
            0xCBBB_9D5D_C105_9ED8,
            0x629A_292A_367C_D507,
            0x9159_015A_3070_DD17,
            0x152F_ECD8_F70E_5939,
            0x6733_2667_FFC0_0B31,
            0x8EB4_4A87_6858_1511,
            0xDB0C_2E0D_64F9_8FA7,
            0x47B5_481D_BEFA_4FA4,
        ]
    }

    fn compress(state: &mut Self::State, blocks: &[[u8; 128]]) {
        sha2::block_api::compress512(state, blocks);
    }

    fn digest(state: &Self::State) -> Digest {
        join(state.map(u64::to_be_bytes))
    }
}

/// FIPS 180-4 section 6.4.
struct Sha512;

impl Hash<128> for Sha512 {
    type State = [u64; 8];
    const DIGEST_LEN: usize = 64;
    const LENGTH_LEN: usize = 16;
    const SIDE_BY_SIDE: bool = false;

    fn initial() -> Self::State {
        [
            0x6A09_E667_F3BC_C908,
            0xBB67_AE85_84CA_A73B,
            0x3C6E_F372_FE94_F82B,
            0xA54F_F53A_5F1D_36F1,
            0x510E_527F_ADE6_82D1,
            0x9B05_688C_2B3E_6C1F,
            0x1F83_D9AB_FB41_BD6B,
            0x5BE0_CD19_137E_2179,
        ]
    }

    fn compress(state: &mut Self::State, blocks: &[[u8; 128]]) {
        sha2::block_api::compress512(state, blocks);
    }

    fn digest(state: &Self::State) -> Digest {
        join(state.map(u64::to_be_bytes))
    }
}

/// RFC 1321.
#[cfg(feature = "legacy")]
struct Md5;

#[cfg(feature = "legacy")]
impl Hash<64> for Md5 {
    type State = [u32; 4];
    const DIGEST_LEN: usize = 16;
    const LENGTH_LEN: usize = 8;

    fn initial() -> Self::State {
        [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476]
    }

    fn compress(state: &mut Self::State, blocks: &[[u8; 64]]) {
        md5::block_api::compress(state, blocks);
    }

    fn digest(state: &Self::State) -> Digest {
        join(state.map(u32::to_le_bytes))
    }

    fn length(bits: u64) -> [u8; 8] {
        bits.to_le_bytes()
    }
}

fn join<const WORDS: usize, const LEN: usize>(words: [[u8; LEN]; WORDS]) -> Digest {
    let mut digest = [0; 64];
    for (octet, word) in digest.iter_mut().zip(words.as_flattened()) {
        *octet = *word;
    }
    digest
}

#[cfg(test)]
mod tests {
    use hmac::{KeyInit, Mac};

    use super::*;

    const MESSAGE: [u8; 300] = {
        let mut message = [0; 300];
        let mut at = 1;
        while at < message.len() {
            message[at] = message[at - 1] ^ 0x35_u8.wrapping_add(message[at - 1] << 1);
            at += 1;
        }
        message
    };

    fn message(len: usize, high_half_len: usize) -> Message<'static> {
        Message {
            packet: &MESSAGE[..len],
            high_half: &MESSAGE[100..100 + high_half_len],
        }
    }

    /// The same by the hmac crate, which shares only the compression functions.
    fn oracle<M: Mac + KeyInit>(key: &[u8], message: Message<'_>, len: usize) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
        mac.update(message.packet);
        mac.update(message.high_half);
        mac.finalize().into_bytes()[..len].to_vec()
    }

    fn agrees<M: Mac + KeyInit>(integrity: Integrity) {
        let key = &MESSAGE[..integrity.keymat_len()];
        let ours = keyed(integrity, key).unwrap();
        for len in 0..MESSAGE.len() {
            for high_half_len in [0, 4] {
                let message = message(len, high_half_len);
                let mut icv = vec![0; integrity.icv_len()];
                ours.sign(message, &mut icv);
                assert_eq!(
                    icv,
                    oracle::<M>(key, message, icv.len()),
                    "{integrity:?} {len}"
                );
                assert!(ours.verify(message, &icv));
                icv[len % integrity.icv_len()] ^= 1;
                assert!(!ours.verify(message, &icv));
            }
        }
    }

    #[test]
    fn every_length_agrees_with_the_hmac_crate() {
        agrees::<hmac::Hmac<sha1::Sha1>>(Integrity::HmacSha1_96);
        agrees::<hmac::Hmac<sha2::Sha256>>(Integrity::HmacSha256_96);
        agrees::<hmac::Hmac<sha2::Sha256>>(Integrity::HmacSha256_128);
        agrees::<hmac::Hmac<sha2::Sha384>>(Integrity::HmacSha384_192);
        agrees::<hmac::Hmac<sha2::Sha512>>(Integrity::HmacSha512_256);
        #[cfg(feature = "legacy")]
        agrees::<hmac::Hmac<md5::Md5>>(Integrity::HmacMd5_96);
    }

    #[test]
    fn side_by_side_gives_what_one_by_one_gives() {
        let integrities = [
            Integrity::HmacSha1_96,
            Integrity::HmacSha256_128,
            Integrity::HmacSha512_256,
        ];
        for integrity in integrities {
            let mac = keyed(integrity, &MESSAGE[..integrity.keymat_len()]).unwrap();
            for (first_len, second_len) in [(0, 0), (64, 64), (300, 20), (55, 56), (0, 300)] {
                let messages = [message(first_len, 0), message(second_len, 4)];
                let mut icvs = [[0; 32]; 2].map(|icv| icv[..integrity.icv_len()].to_vec());
                let [first, second] = &mut icvs;
                mac.sign_both(messages, [first, second]);
                assert!(mac.verify(messages[0], &icvs[0]) && mac.verify(messages[1], &icvs[1]));

                let both = |icvs: &[Vec<u8>; 2]| mac.verify_both(messages, [&icvs[0], &icvs[1]]);
                assert_eq!(both(&icvs), [true, true]);
                icvs[1][3] ^= 0x80;
                assert_eq!(both(&icvs), [true, false]);
                icvs.swap(0, 1);
                assert_eq!(both(&icvs), [false, false]);
            }
        }
    }

    #[test]
    fn the_case_of_rfc_4868_holds() {
        // RFC 4868 section 2.7.2.1, test case AUTH256-1.
        let mac = keyed(Integrity::HmacSha256_128, &[0x0B; 32]).unwrap();
        let mut icv = [0; 16];
        mac.sign(
            Message {
                packet: b"Hi There",
                high_half: &[],
            },
            &mut icv,
        );
        assert_eq!(hex::encode(icv), "198a607eb44bfbc69903a0f1cf2bbdc5");
    }
}

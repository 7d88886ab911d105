//! What AES-GCM and AES-GMAC have in common, NIST SP 800-38D: a block cipher, GHASH under a key
//! that the cipher makes, and a counter.

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use cipher::consts::U16;
use cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser,
    KeyInit,
};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroize;

use crate::crypto::parts::nonce;
use crate::suite::{EspSuite, SALT_LEN};

pub(super) const BLOCK_LEN: usize = 16;
/// The ICV is one whole block, RFC 4106 section 6.
pub(super) const ICV_LEN: usize = BLOCK_LEN;
/// SPI, low half of the sequence number and IV: one block.
pub(super) const START_LEN: usize = BLOCK_LEN;

/// AES under a key.
pub(super) trait Aes:
    BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit + Send + Sync + 'static
{
}

impl Aes for Aes128Enc {}
impl Aes for Aes192Enc {}
impl Aes for Aes256Enc {}

/// Cipher and hash under their keys, and the salt that starts every nonce.
pub(super) struct Galois<C> {
    pub(super) suite: EspSuite,
    /// Both wipe themselves.
    cipher: C,
    hash: GHash,
    salt: [u8; SALT_LEN],
}

impl<C: Aes> Galois<C> {
    /// RFC 4106 section 8.1: the KEYMAT is the key and then the salt.
    pub(super) fn new(suite: EspSuite, keymat: &[u8]) -> Option<Self> {
        let (key, salt) = keymat.split_last_chunk::<SALT_LEN>()?;
        let cipher = C::new_from_slice(key).ok()?;
        let mut hash_key = Block::<C>::default();
        cipher.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        hash_key.zeroize();
        Some(Self {
            suite,
            cipher,
            hash,
            salt: *salt,
        })
    }

    /// A hash to start from.
    pub(super) fn hash(&self) -> GHash {
        self.hash.clone()
    }

    /// The first counter of a packet, NIST SP 800-38D section 7.1 step 2.
    pub(super) fn counter(&self, iv: &[u8]) -> Option<Counter> {
        nonce(self.salt, iv).map(|nonce| Counter { nonce })
    }

    /// The keystream's first block alone, which hides the hash.
    pub(super) fn mask(&self, counter: Counter) -> [u8; BLOCK_LEN] {
        let mut mask = counter.block(1).into();
        self.cipher.encrypt_block(&mut mask);
        mask.into()
    }

    /// The keystream's first blocks: the mask that hides the hash, and what a short body takes.
    pub(super) fn start(&self, counter: Counter) -> Keystream {
        let mut blocks = [Array::default(); LANES];
        self.cipher.encrypt_with_backend(First {
            counter,
            blocks: &mut blocks,
        });
        Keystream { counter, blocks }
    }

    /// Adds the keystream behind the mask to a body, all in one go; gives the mask.
    pub(super) fn seal(&self, counter: Counter, body: &mut [[u8; BLOCK_LEN]]) -> [u8; BLOCK_LEN] {
        let mut mask = [0; BLOCK_LEN];
        self.cipher.encrypt_with_backend(Whole {
            counter,
            mask: &mut mask,
            body,
        });
        mask
    }

    /// Adds the keystream behind the mask to a body, given its first blocks.
    pub(super) fn apply(&self, keystream: &Keystream, body: &mut [[u8; BLOCK_LEN]]) {
        let (first, rest) = body.split_at_mut(body.len().min(LANES - 1));
        let [_, blocks @ ..] = &keystream.blocks;
        add(first, blocks);
        if !rest.is_empty() {
            let counter = keystream.counter;
            self.cipher.encrypt_with_backend(Rest {
                counter,
                body: rest,
            });
        }
    }
}

impl<C> Drop for Galois<C> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

/// Hashes the lengths, which come last, and gives the ICV.
pub(super) fn finish(
    mut hash: GHash,
    associated_len: usize,
    encrypted_len: usize,
    mask: [u8; BLOCK_LEN],
) -> [u8; ICV_LEN] {
    let [a0, a1, a2, a3, a4, a5, a6, a7] = (associated_len as u64 * 8).to_be_bytes();
    let [e0, e1, e2, e3, e4, e5, e6, e7] = (encrypted_len as u64 * 8).to_be_bytes();
    let lengths = [
        a0, a1, a2, a3, a4, a5, a6, a7, e0, e1, e2, e3, e4, e5, e6, e7,
    ];
    hash.update(&[lengths.into()]);
    xored(hash.finalize().into(), mask)
}

#[inline(always)]
fn xored(one: [u8; BLOCK_LEN], other: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
    (u128::from_ne_bytes(one) ^ u128::from_ne_bytes(other)).to_ne_bytes()
}

/// Nonce of a packet, to which a number of blocks is added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    nonce: [u8; 12],
}

impl Counter {
    #[inline(always)]
    fn block(self, number: u32) -> [u8; BLOCK_LEN] {
        let [n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11] = self.nonce;
        let [c0, c1, c2, c3] = number.to_be_bytes();
        [
            n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, c0, c1, c2, c3,
        ]
    }
}

/// How many blocks of keystream are made at a time: enough to keep the processor's AES unit busy.
const LANES: usize = 8;
/// The number of the first block that is not among the first [`LANES`], which are counted from one.
const AFTER_FIRST: u32 = 9;

/// The start of a packet's keystream.
pub(super) struct Keystream {
    counter: Counter,
    blocks: [Array<u8, U16>; LANES],
}

impl Keystream {
    pub(super) const fn mask(&self) -> [u8; BLOCK_LEN] {
        let [mask, ..] = self.blocks;
        mask.0
    }
}

struct First<'a> {
    counter: Counter,
    blocks: &'a mut [Array<u8, U16>; LANES],
}

impl BlockSizeUser for First<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for First<'_> {
    /// Inlined into a function that is compiled for the processor's AES instructions.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        *self.blocks = blocks(backend, self.counter, 1);
    }
}

/// A body, and the mask.
struct Whole<'a> {
    counter: Counter,
    mask: &'a mut [u8; BLOCK_LEN],
    body: &'a mut [[u8; BLOCK_LEN]],
}

impl BlockSizeUser for Whole<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Whole<'_> {
    /// Inlined as above.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let (first, rest) = self.body.split_at_mut(self.body.len().min(LANES - 1));
        let [mask, keystream @ ..] = blocks(backend, self.counter, 1);
        *self.mask = mask.0;
        add(first, &keystream);
        Rest {
            counter: self.counter,
            body: rest,
        }
        .call(backend);
    }
}

/// What the first blocks of keystream leave of a body.
struct Rest<'a> {
    counter: Counter,
    body: &'a mut [[u8; BLOCK_LEN]],
}

impl BlockSizeUser for Rest<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Rest<'_> {
    /// Inlined as above.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let numbers = (AFTER_FIRST..).step_by(LANES);
        for (group, number) in self.body.chunks_mut(LANES).zip(numbers) {
            add(group, &blocks(backend, self.counter, number));
        }
    }
}

/// Blocks of keystream. Loops, because the adapters of arrays would not be inlined.
#[inline(always)]
fn blocks<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    counter: Counter,
    first: u32,
) -> [Block<B>; LANES] {
    let mut blocks = [Block::<B>::default(); LANES];
    for (block, number) in blocks.iter_mut().zip(first..) {
        block.0 = counter.block(number);
    }
    for block in &mut blocks {
        backend.encrypt_block(block.into());
    }
    blocks
}

#[inline(always)]
fn add(body: &mut [[u8; BLOCK_LEN]], keystream: &[Array<u8, U16>]) {
    for (block, key) in body.iter_mut().zip(keystream) {
        *block = xored(*block, key.0);
    }
}

//! CBC mode, RFC 3602 and RFC 2451, one packet at a time or eight side by side.

use core::fmt;

use aes::Aes128Enc;
use cipher::common::array::ArraySize;
use cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt,
    BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser, InOutBuf, InnerIvInit, KeyInit,
};
use zeroize::Zeroizing;

use super::cipher_mode::{Body, Decryptor, Encryptor, MAX_LANES};
use crate::crypto::SecureRandom;

/// IVs that nobody can predict (RFC 3602 section 3), without a system call: AES of the sequence
/// number under a random key of its own.
struct IvGenerator {
    cipher: Aes128Enc,
}

impl IvGenerator {
    fn new(random: &dyn SecureRandom) -> Option<Self> {
        let mut key = Zeroizing::new([0; 16]);
        random.fill(&mut *key);
        Aes128Enc::new_from_slice(&*key)
            .ok()
            .map(|cipher| Self { cipher })
    }

    fn write(&self, sequence: u64, iv: &mut [u8]) {
        let mut block = Array::from(u128::from(sequence).to_be_bytes());
        self.cipher.encrypt_block(&mut block);
        if let Some(block) = block.get(..iv.len()) {
            iv.copy_from_slice(block);
        }
    }
}

pub(super) struct CbcEncryptor<C> {
    /// Both wipe themselves.
    cipher: C,
    ivs: IvGenerator,
}

impl<C: KeyInit> CbcEncryptor<C> {
    pub(super) fn new(key: &[u8], random: &dyn SecureRandom) -> Option<Self> {
        Some(Self {
            cipher: C::new_from_slice(key).ok()?,
            ivs: IvGenerator::new(random)?,
        })
    }
}

impl<C: BlockCipherEncrypt + Send + Sync> Encryptor for CbcEncryptor<C> {
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        self.ivs.write(sequence, iv);
    }

    fn encrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let mut mode = cbc::Encryptor::inner_iv_slice_init(&self.cipher, iv).ok()?;
        let (blocks, rest) = InOutBuf::from(body).into_chunks();
        mode.encrypt_blocks_inout(blocks);
        rest.is_empty().then_some(())
    }

    fn encrypt_batch(&self, bodies: &mut [Body<'_>]) -> Option<()> {
        bodies
            .chunks_mut(MAX_LANES)
            .try_for_each(|bodies| match bodies {
                [] => Some(()),
                [body] => self.encrypt(body.iv, body.octets),
                [_, _] => Chains::<_, 2>::new(bodies)?.encrypt(&self.cipher),
                [_, _, _] | [_, _, _, _] => Chains::<_, 4>::new(bodies)?.encrypt(&self.cipher),
                _ => Chains::<_, MAX_LANES>::new(bodies)?.encrypt(&self.cipher),
            })
    }
}

impl<C> fmt::Debug for CbcEncryptor<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CbcEncryptor(..)")
    }
}

/// Up to `N` chains in lock-step. A chain of CBC waits for its last block before it can go on;
/// several keep the processor busy. A chain that is shorter than others runs on empty to their end.
struct Chains<'a, BS: ArraySize, const N: usize> {
    last: [Array<u8, BS>; N],
    bodies: [&'a mut [Array<u8, BS>]; N],
}

impl<'a, BS: ArraySize, const N: usize> Chains<'a, BS, N> {
    fn new(bodies: &'a mut [Body<'_>]) -> Option<Self> {
        let mut chains = Self {
            last: core::array::from_fn(|_| Array::default()),
            bodies: core::array::from_fn(|_| <&mut [_]>::default()),
        };
        for ((last, chain), body) in chains.last.iter_mut().zip(&mut chains.bodies).zip(bodies) {
            *last = Array::try_from(body.iv).ok()?;
            let (blocks, rest) = Array::slice_as_chunks_mut(body.octets);
            *chain = rest.is_empty().then_some(blocks)?;
        }
        Some(chains)
    }

    fn encrypt<C: BlockCipherEncrypt<BlockSize = BS>>(self, cipher: &C) -> Option<()> {
        cipher.encrypt_with_backend(self);
        Some(())
    }
}

impl<BS: ArraySize, const N: usize> BlockSizeUser for Chains<'_, BS, N> {
    type BlockSize = BS;
}

impl<BS: ArraySize, const N: usize> BlockCipherEncClosure for Chains<'_, BS, N> {
    /// Inlined into a function that is compiled for the processor's AES instructions.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = BS>>(self, backend: &B) {
        let Self {
            mut last,
            mut bodies,
        } = self;
        let steps = bodies.iter().map(|blocks| blocks.len()).max().unwrap_or(0);
        for step in 0..steps {
            for (last, blocks) in last.iter_mut().zip(&bodies) {
                if let Some(block) = blocks.get(step) {
                    xor(last, block);
                }
            }
            for last in &mut last {
                backend.encrypt_block(last.into());
            }
            for (last, blocks) in last.iter().zip(&mut bodies) {
                if let Some(block) = blocks.get_mut(step) {
                    block.clone_from(last);
                }
            }
        }
    }
}

#[inline(always)]
fn xor<BS: ArraySize>(into: &mut Array<u8, BS>, other: &Array<u8, BS>) {
    for (octet, other) in into.iter_mut().zip(other) {
        *octet ^= other;
    }
}

pub(super) struct CbcDecryptor<C> {
    /// Wipes itself.
    cipher: C,
}

impl<C: KeyInit> CbcDecryptor<C> {
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        C::new_from_slice(key).ok().map(|cipher| Self { cipher })
    }
}

impl<C: BlockCipherDecrypt + Send + Sync> Decryptor for CbcDecryptor<C> {
    fn decrypt(&self, iv: &[u8], body: &mut [u8]) -> Option<()> {
        let mut mode = cbc::Decryptor::inner_iv_slice_init(&self.cipher, iv).ok()?;
        let (blocks, rest) = InOutBuf::from(body).into_chunks();
        mode.decrypt_blocks_inout(blocks);
        rest.is_empty().then_some(())
    }
}

impl<C> fmt::Debug for CbcDecryptor<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CbcDecryptor(..)")
    }
}

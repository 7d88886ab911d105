//! What a handshake costs in cryptography: exponentiations by group, and the rest of it.
#![allow(
    missing_docs,
    reason = "criterion's macros make functions without documentation"
)]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use core::hint::black_box;

#[cfg(feature = "ring")]
use criterion::BatchSize;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ike_core::crypto::{
    CryptoProvider, ExchangeInputs, Iv, KeymatInputs, MessageCipher, SharedSecret, Skeyid,
    rustcrypto,
};
use ike_core::wire::numbers::ProtocolId;
use ike_core::{CookiePair, MessageId, Spi};

fn provider() -> CryptoProvider {
    #[cfg(feature = "legacy")]
    return rustcrypto::legacy_provider();
    #[cfg(not(feature = "legacy"))]
    return rustcrypto::provider();
}

/// Both exponentiations of one side.
fn groups(c: &mut Criterion) {
    let provider = provider();
    let mut benches = c.benchmark_group("group");
    benches.sample_size(20);
    for group in &provider.groups {
        let random = &*provider.secure_random;
        let (ours, peer) = (group.generate(random), group.generate(random));
        benches.bench_function(format!("{group:?}/generate"), |b| {
            b.iter(|| group.generate(random));
        });
        benches.bench_function(format!("{group:?}/agree"), |b| {
            b.iter(|| ours.agree(black_box(peer.public())));
        });
    }
    benches.finish();
}

/// The same by ring, each of whose values agrees once, beside the implementations that they replace.
#[cfg(feature = "ring")]
fn ring_groups(c: &mut Criterion) {
    use ike_core::crypto::ring;
    let random = &*provider().secure_random;
    let mut benches = c.benchmark_group("ring");
    benches.sample_size(20);
    for (name, group) in [
        ("ECP_256", ring::ECP_256),
        ("ECP_384", ring::ECP_384),
        ("CURVE25519", ring::CURVE25519),
        ("instead of ECP_256", rustcrypto::ECP_256),
        ("instead of ECP_384", rustcrypto::ECP_384),
        ("instead of CURVE25519", rustcrypto::CURVE25519),
    ] {
        let peer = group.generate(random);
        benches.bench_function(format!("{name}/generate"), |b| {
            b.iter(|| group.generate(random));
        });
        benches.bench_function(format!("{name}/agree"), |b| {
            b.iter_batched(
                || group.generate(random),
                |ours| ours.agree(black_box(peer.public())),
                BatchSize::SmallInput,
            );
        });
    }
    benches.finish();
}

#[cfg(not(feature = "ring"))]
fn ring_groups(_: &mut Criterion) {}

/// All prf work of phase 1 on one side, which is all that a stranger's first message costs.
fn key_derivation(c: &mut Criterion) {
    let cookies = CookiePair::from_octets([1; 16]);
    let g_xy = SharedSecret::new(vec![3; 256]);
    let inputs = ExchangeInputs {
        g_xi: &[1; 256],
        g_xr: &[2; 256],
        cookies,
        sai_b: &[4; 60],
        idii_b: b"\x02\0\0\0branch",
        idir_b: b"\x02\0\0\0hub",
    };
    let mut benches = c.benchmark_group("derivation");
    for hash in provider().hashes {
        benches.bench_function(format!("{hash:?}/SKEYID and HASH_R"), |b| {
            b.iter(|| {
                let psk = black_box(&b"a pre-shared key of thirty octets"[..]);
                Skeyid::from_pre_shared_key(hash, psk, &[5; 32], &[6; 32]).hash_r(&inputs)
            });
        });
        let skeyid = Skeyid::from_pre_shared_key(hash, b"psk", &[5; 32], &[6; 32]);
        benches.bench_function(format!("{hash:?}/session keys"), |b| {
            b.iter(|| skeyid.session_keys(black_box(&g_xy), cookies));
        });
        let keys = skeyid.session_keys(&g_xy, cookies);
        benches.bench_function(format!("{hash:?}/KEYMAT of 36 octets"), |b| {
            let inputs = KeymatInputs {
                g_xy: None,
                protocol: ProtocolId::ESP,
                spi: Spi::new(0x1000).unwrap(),
                ni_b: &[5; 32],
                nr_b: &[6; 32],
            };
            b.iter(|| keys.keymat(black_box(&inputs), 36));
        });
    }
    benches.finish();
}

/// A quick mode message of usual length.
fn messages(c: &mut Criterion) {
    let cipher = MessageCipher::new(rustcrypto::AES_CBC, vec![7; 16].into()).unwrap();
    let iv = Iv::from_slice(&[9; 16]).phase_two(rustcrypto::SHA1, MessageId::new(1));
    let plaintext = [0x55; 200];
    let (ciphertext, _) = cipher.encrypt(&iv, &plaintext).unwrap();
    let mut benches = c.benchmark_group("message");
    benches.throughput(Throughput::Bytes(200));
    benches.bench_function("encrypt", |b| {
        b.iter(|| cipher.encrypt(&iv, black_box(&plaintext)))
    });
    benches.bench_function("decrypt", |b| {
        b.iter(|| cipher.decrypt(&iv, black_box(&ciphertext)))
    });
    benches.finish();
}

criterion_group!(benches, groups, ring_groups, key_derivation, messages);
criterion_main!(benches);

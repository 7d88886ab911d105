//! What reading and writing a message costs.
#![allow(
    missing_docs,
    reason = "criterion's macros make functions without documentation"
)]
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use core::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ike_core::wire::numbers::{
    AuthenticationMethod, EncryptionAlgorithm, ExchangeType, GroupNumber, HashAlgorithm,
    IdentificationType, IkeAttribute, IsakmpTransformId, LifeType, PayloadType, ProtocolId,
};
use ike_core::wire::{
    AttributeList, Header, Identification, Message, PayloadChain, ProposalBuilder,
    SecurityAssociation, SecurityAssociationBuilder, VendorId,
};
use ike_core::{CookiePair, MessageId};

/// An offer of `transforms` transforms.
fn offer(transforms: u8) -> Vec<u8> {
    let attributes = AttributeList::new()
        .short(
            IkeAttribute::ENCRYPTION_ALGORITHM.0,
            EncryptionAlgorithm::AES_CBC.0,
        )
        .short(IkeAttribute::KEY_LENGTH.0, 128)
        .short(IkeAttribute::HASH_ALGORITHM.0, HashAlgorithm::SHA2_256.0)
        .short(IkeAttribute::GROUP_DESCRIPTION.0, GroupNumber::MODP_2048.0)
        .short(
            IkeAttribute::AUTHENTICATION_METHOD.0,
            AuthenticationMethod::PRE_SHARED_KEY.0,
        )
        .short(IkeAttribute::LIFE_TYPE.0, LifeType::SECONDS.0)
        .integer(IkeAttribute::LIFE_DURATION.0, 86_400);
    let mut proposal = ProposalBuilder::new(1, ProtocolId::ISAKMP, &[]);
    for number in 1..=transforms {
        proposal = proposal.transform(number, IsakmpTransformId::KEY_IKE.0, &attributes);
    }
    SecurityAssociationBuilder::new()
        .proposal(&proposal)
        .build()
}

/// The first message of aggressive mode.
fn message() -> Vec<u8> {
    let name = Identification::new(IdentificationType::FQDN, &b"branch-17.example"[..]).unwrap();
    let mut payloads = PayloadChain::new();
    payloads.push(PayloadType::SECURITY_ASSOCIATION, &offer(2));
    payloads.push(PayloadType::KEY_EXCHANGE, &[0x55; 256]);
    payloads.push(PayloadType::NONCE, &[0x66; 32]);
    payloads.push(PayloadType::IDENTIFICATION, &name.encode());
    for vendor in [
        VendorId::RFC_3947,
        VendorId::DEAD_PEER_DETECTION,
        VendorId::FRAGMENTATION,
    ] {
        payloads.push(PayloadType::VENDOR_ID, vendor.octets());
    }
    let cookies = CookiePair::from_octets([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    Header::new(cookies, ExchangeType::AGGRESSIVE, MessageId::PHASE_ONE).encode_clear(&payloads)
}

fn messages(c: &mut Criterion) {
    let octets = message();
    let mut benches = c.benchmark_group("message");
    benches.throughput(Throughput::Bytes(u64::try_from(octets.len()).unwrap()));
    benches.bench_function("decode, every payload", |b| {
        b.iter(|| {
            let payloads = Message::decode(black_box(&octets))
                .unwrap()
                .payloads()
                .unwrap();
            payloads
                .iter()
                .filter(|payload| payload.decode().is_ok())
                .count()
        });
    });
    benches.bench_function("encode", |b| b.iter(message));
    benches.finish();
}

/// The most that one SA payload may hold: the worst that a stranger can make us read.
fn offers(c: &mut Criterion) {
    let mut benches = c.benchmark_group("offer");
    for transforms in [1, 16, 128] {
        let body = offer(transforms);
        benches.throughput(Throughput::Elements(u64::from(transforms)));
        benches.bench_function(format!("decode and walk {transforms} transforms"), |b| {
            b.iter(|| {
                let sa = SecurityAssociation::decode(black_box(&body)).unwrap();
                let transforms = sa.proposals().flat_map(|proposal| proposal.transforms());
                let attributes = transforms.flat_map(|transform| transform.attributes().iter());
                attributes
                    .filter_map(|attribute| attribute.integer())
                    .sum::<u64>()
            });
        });
    }
    benches.finish();
}

criterion_group!(benches, messages, offers);
criterion_main!(benches);

//! Runs between two strongSwan daemons, each with a capture and a log of every secret: the whole
//! exchange is followed from the capture and compared with the log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ike_core::crypto::{
    CryptoProvider, ExchangeInputs, Iv, KeymatInputs, MessageCipher, SessionKeys, SharedSecret,
    Skeyid, rustcrypto,
};
use ike_core::wire::numbers::{
    EncryptionAlgorithm, ExchangeType, GroupNumber, HashAlgorithm, IkeAttribute, PayloadType,
    ProtocolId,
};
use ike_core::wire::{Message, Payloads, SecurityAssociation, Transform};
use ike_core::{MessageId, Spi};

use crate::every_payload;

const PSK: &[u8] = b"lab-only-pre-shared-key";

/// Unpacks the archive into a folder of its own and follows every run in it.
pub(crate) fn check_archive(archive: &Path) {
    let scratch = Scratch::new();
    let status = Command::new("tar")
        .args(["--extract", "--xz", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(&scratch.0)
        .status()
        .unwrap();
    assert!(status.success(), "{archive:?} could not be unpacked");
    let mut followed = Followed::default();
    for version in folders(&scratch.0) {
        for run in folders(&version) {
            follow(&run, &mut followed);
        }
    }
    assert_eq!(followed.runs, 40);
    // Three runs fail in phase 1, two in phase 2; without `legacy` some have no algorithm here.
    let expected = if cfg!(feature = "legacy") { 35 } else { 28 };
    assert!(expected <= followed.established, "{followed:?}");
    assert!(expected <= followed.keymats, "{followed:?}");
    assert!(
        if cfg!(feature = "legacy") { 4 } else { 3 } <= followed.with_pfs,
        "{followed:?}"
    );
}

/// What was checked, so that a test that checks nothing fails.
#[derive(Debug, Default)]
struct Followed {
    runs: usize,
    datagrams: usize,
    established: usize,
    keymats: usize,
    with_pfs: usize,
    informationals: usize,
}

/// A folder that goes when the test does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ike-core-captures-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn follow(run: &Path, followed: &mut Followed) {
    followed.runs += 1;
    let datagrams = ike_datagrams(&std::fs::read(run.join("wan.pcap")).unwrap());
    let log = Log::read(&std::fs::read_to_string(run.join("branch.log")).unwrap());
    followed.datagrams += datagrams.len();
    for datagram in &datagrams {
        every_payload::decode_datagram(datagram)
            .unwrap_or_else(|error| panic!("{run:?}: {error}: {}", hex::encode(datagram)));
    }
    let Some(session) = Session::begin(&datagrams, &log) else {
        return;
    };
    followed.established += 1;
    session.follow_exchanges(&datagrams[2..], &log, followed);
}

/// What both sides know after message 2 and a look into the log.
struct Session {
    keys: SessionKeys,
    cipher: MessageCipher,
    /// The IV of phase 1.
    iv: Iv,
    hash_i: ike_core::crypto::Digest,
}

impl Session {
    /// `None` for a run that failed or uses an algorithm that is not built in.
    fn begin(datagrams: &[Vec<u8>], log: &Log) -> Option<Self> {
        let [first, second, ..] = datagrams else {
            return None;
        };
        let (first, second) = (
            Message::decode(first).unwrap(),
            Message::decode(second).unwrap(),
        );
        if second.header().exchange_type() != ExchangeType::AGGRESSIVE {
            return None;
        }
        let (first, cookies) = (first.payloads().unwrap(), second.header().cookies());
        let second = second.payloads().unwrap();
        let body = |payloads: &Payloads<'_>, kind| hex::encode(one(payloads, kind));
        let chosen = Chosen::read(one_ref(&second, PayloadType::SECURITY_ASSOCIATION));
        let provider = provider();
        let hash = provider.hash(chosen.hash)?;
        let cipher = provider.cipher(chosen.cipher)?;
        let inputs = ExchangeInputs {
            g_xi: one_ref(&first, PayloadType::KEY_EXCHANGE),
            g_xr: one_ref(&second, PayloadType::KEY_EXCHANGE),
            cookies,
            sai_b: one_ref(&first, PayloadType::SECURITY_ASSOCIATION),
            idii_b: one_ref(&first, PayloadType::IDENTIFICATION),
            idir_b: one_ref(&second, PayloadType::IDENTIFICATION),
        };
        if let Some(group) = provider.group(chosen.group) {
            // Both public values are elements of the group in our eyes too.
            let value = group.generate(&*provider.secure_random);
            assert!(value.agree(inputs.g_xi).is_ok() && value.agree(inputs.g_xr).is_ok());
            assert_eq!(inputs.g_xi.len(), group.public_len());
        }
        let (ni_b, nr_b) = (
            one(&first, PayloadType::NONCE),
            one(&second, PayloadType::NONCE),
        );
        let skeyid = Skeyid::from_pre_shared_key(hash, PSK, &ni_b, &nr_b);
        assert_eq!(hex::encode(skeyid.as_digest()), log.first("SKEYID"));
        assert_eq!(
            hex::encode(skeyid.hash_r(&inputs)),
            body(&second, PayloadType::HASH)
        );
        assert_eq!(hex::encode(skeyid.hash_r(&inputs)), log.first("HASH_R"));
        let g_xy =
            SharedSecret::new(hex::decode(log.first("shared Diffie Hellman secret")).unwrap());
        let keys = skeyid.session_keys(&g_xy, cookies);
        assert_eq!(hex::encode(keys.skeyid_d()), log.first("SKEYID_d"));
        assert_eq!(hex::encode(keys.skeyid_a()), log.first("SKEYID_a"));
        assert_eq!(hex::encode(keys.skeyid_e()), log.first("SKEYID_e"));
        let key_len = cipher.key_lengths().octets(chosen.key_length)?;
        let key = keys.cipher_key(key_len);
        assert_eq!(hex::encode(key.as_slice()), log.first("encryption key Ka"));
        let cipher = MessageCipher::new(cipher, key).unwrap();
        let iv = Iv::phase_one(hash, cipher.block_len(), inputs.g_xi, inputs.g_xr);
        assert_eq!(hex::encode(iv.as_slice()), log.first("initial IV"));
        let hash_i = skeyid.hash_i(&inputs);
        assert_eq!(hex::encode(&hash_i), log.first("HASH_I"));
        Some(Self {
            keys,
            cipher,
            iv,
            hash_i,
        })
    }

    fn follow_exchanges(&self, datagrams: &[Vec<u8>], log: &Log, followed: &mut Followed) {
        let mut base = self.iv;
        let mut ivs: BTreeMap<MessageId, Iv> = BTreeMap::new();
        let mut quick_modes: BTreeMap<MessageId, QuickMode> = BTreeMap::new();
        let mut seen: Vec<&[u8]> = Vec::new();
        for datagram in datagrams {
            if seen.contains(&&datagram[..]) {
                continue; // A retransmission is the same to the octet.
            }
            seen.push(datagram);
            let message = Message::decode(datagram).unwrap();
            let id = message.header().message_id();
            let first_iv = if id.is_zero() {
                base
            } else {
                base.phase_two(self.keys.hash(), id)
            };
            let iv = ivs.get(&id).copied().unwrap_or(first_iv);
            let (plaintext, next) = self.cipher.decrypt(&iv, message.body()).unwrap();
            let first = message.header().next_payload();
            let payloads = Payloads::decode_padded(first, &plaintext).unwrap();
            every_payload::decode_payloads(&payloads).unwrap();
            let hash = one(&payloads, PayloadType::HASH);
            match message.header().exchange_type() {
                ExchangeType::AGGRESSIVE => {
                    assert!(self.hash_i.verify(&hash));
                    base = next;
                    continue;
                }
                ExchangeType::INFORMATIONAL => {
                    assert!(
                        self.keys
                            .hash_1(id, payloads.octets_after_first())
                            .verify(&hash)
                    );
                    followed.informationals += 1;
                }
                ExchangeType::QUICK_MODE => {
                    let quick_mode = quick_modes.entry(id).or_default();
                    quick_mode.follow(&self.keys, id, &payloads, log, followed);
                }
                other => panic!("{other}"),
            }
            ivs.insert(id, next);
        }
    }
}

/// The messages of one quick mode so far.
#[derive(Default)]
struct QuickMode {
    messages: usize,
    ni_b: Vec<u8>,
    nr_b: Vec<u8>,
    initiator_spi: Option<Spi>,
    responder_spi: Option<Spi>,
}

impl QuickMode {
    fn follow(
        &mut self,
        keys: &SessionKeys,
        id: MessageId,
        payloads: &Payloads<'_>,
        log: &Log,
        followed: &mut Followed,
    ) {
        self.messages += 1;
        let hash = one(payloads, PayloadType::HASH);
        let covered = payloads.octets_after_first();
        match self.messages {
            1 => {
                assert!(keys.hash_1(id, covered).verify(&hash));
                self.ni_b = one(payloads, PayloadType::NONCE);
                self.initiator_spi = spi(payloads);
            }
            2 => {
                assert!(keys.hash_2(id, &self.ni_b, covered).verify(&hash));
                self.nr_b = one(payloads, PayloadType::NONCE);
                self.responder_spi = spi(payloads);
            }
            3 => {
                assert!(keys.hash_3(id, &self.ni_b, &self.nr_b).verify(&hash));
                self.check_keymat(keys, log, followed);
            }
            more => panic!("message {more} of a quick mode"),
        }
    }

    fn check_keymat(&self, keys: &SessionKeys, log: &Log, followed: &mut Followed) {
        let g_xy = log
            .find("DH secret")
            .map(|octets| SharedSecret::new(hex::decode(octets).unwrap()));
        followed.with_pfs += usize::from(g_xy.is_some());
        // The initiator sends under the SPI of the responder, and the other way round.
        let directions = [
            ("initiator", self.responder_spi),
            ("responder", self.initiator_spi),
        ];
        for (sender, spi) in directions {
            let encryption = log
                .find(&format!("encryption {sender} key"))
                .unwrap_or_default();
            let integrity = log
                .find(&format!("integrity {sender} key"))
                .unwrap_or_default();
            let expected = [encryption, integrity].concat();
            let inputs = KeymatInputs {
                g_xy: g_xy.as_ref(),
                protocol: ProtocolId::ESP,
                spi: spi.unwrap(),
                ni_b: &self.ni_b,
                nr_b: &self.nr_b,
            };
            let keymat = keys.keymat(&inputs, expected.len() / 2);
            assert!(!expected.is_empty());
            assert_eq!(hex::encode(keymat.as_slice()), expected);
        }
        followed.keymats += 1;
    }
}

/// The attributes of the transform that the responder chose.
struct Chosen {
    cipher: EncryptionAlgorithm,
    key_length: Option<u16>,
    hash: HashAlgorithm,
    group: GroupNumber,
}

impl Chosen {
    fn read(sa: &[u8]) -> Self {
        let sa = SecurityAssociation::decode(sa).unwrap();
        let transform = sa.proposals().next().unwrap().transforms().next().unwrap();
        let number = |attribute| attribute_number(&transform, attribute);
        Self {
            cipher: EncryptionAlgorithm(number(IkeAttribute::ENCRYPTION_ALGORITHM).unwrap()),
            key_length: number(IkeAttribute::KEY_LENGTH),
            hash: HashAlgorithm(number(IkeAttribute::HASH_ALGORITHM).unwrap()),
            group: GroupNumber(number(IkeAttribute::GROUP_DESCRIPTION).unwrap()),
        }
    }
}

fn attribute_number(transform: &Transform<'_>, wanted: IkeAttribute) -> Option<u16> {
    let attributes = transform.attributes();
    let found = attributes
        .iter()
        .find(|attribute| attribute.attribute_type() == wanted.0)?;
    found.number()
}

fn provider() -> CryptoProvider {
    #[cfg(feature = "legacy")]
    return rustcrypto::legacy_provider();
    #[cfg(not(feature = "legacy"))]
    return rustcrypto::provider();
}

fn one_ref<'a>(payloads: &Payloads<'a>, kind: PayloadType) -> &'a [u8] {
    payloads.exactly_one(kind).unwrap().body()
}

fn one(payloads: &Payloads<'_>, kind: PayloadType) -> Vec<u8> {
    one_ref(payloads, kind).to_vec()
}

fn spi(payloads: &Payloads<'_>) -> Option<Spi> {
    let sa = one_ref(payloads, PayloadType::SECURITY_ASSOCIATION);
    let sa = SecurityAssociation::decode(sa).unwrap();
    Spi::from_slice(sa.proposals().next()?.spi())
}

/// The hexadecimal dumps of a log, by title, in order.
struct Log(Vec<(String, String)>);

impl Log {
    fn read(text: &str) -> Self {
        let mut dumps: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            let Some((_, line)) = line.split_once("] ") else {
                continue;
            };
            if let Some((title, rest)) = line.split_once(" => ")
                && rest.contains(" bytes @ ")
            {
                dumps.push((title.to_owned(), String::new()));
            } else if let Some((offset, octets)) = line.trim_start().split_once(": ")
                && offset.parse::<usize>().is_ok()
                && let Some((_, dump)) = dumps.last_mut()
            {
                let octets = octets.get(..47).unwrap_or(octets);
                dump.extend(octets.split_whitespace().flat_map(str::chars));
            }
        }
        let lower = |(title, dump): (String, String)| (title, dump.to_lowercase());
        Self(dumps.into_iter().map(lower).collect())
    }

    fn find(&self, title: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(name, _)| name == title)
            .map(|(_, dump)| dump.clone())
    }

    fn first(&self, title: &str) -> String {
        self.find(title)
            .unwrap_or_else(|| panic!("no {title} in the log"))
    }
}

/// The IKE messages of a capture of Ethernet frames, without the non-ESP marker.
fn ike_datagrams(pcap: &[u8]) -> Vec<Vec<u8>> {
    let word =
        |at: usize| usize::try_from(u32::from_le_bytes(pcap[at..at + 4].try_into().unwrap()));
    assert_eq!(word(0), Ok(0xa1b2_c3d4), "little-endian, microseconds");
    assert_eq!(word(20), Ok(1), "Ethernet");
    let mut datagrams = Vec::new();
    let mut at = 24;
    while at < pcap.len() {
        let len = word(at + 8).unwrap();
        datagrams.extend(ike_datagram(&pcap[at + 16..at + 16 + len]));
        at += 16 + len;
    }
    datagrams
}

fn ike_datagram(frame: &[u8]) -> Option<Vec<u8>> {
    let ip = frame.get(14..)?;
    if frame[12..14] != [8, 0] || ip[9] != 17 {
        return None;
    }
    let udp = &ip[usize::from(ip[0] & 0x0f) * 4..];
    let port = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let contents = &udp[8..usize::from(port(4))];
    match (port(0), port(2)) {
        (4500, _) | (_, 4500) => contents.strip_prefix(&[0; 4]).map(<[u8]>::to_vec),
        (500, _) | (_, 500) => Some(contents.to_vec()),
        _ => None,
    }
}

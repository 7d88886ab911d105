//! Known answers for the primitives: HMAC (RFC 2202, RFC 4868), AES-CBC (RFC 3602).
#![cfg(feature = "rustcrypto")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ike_core::crypto::{Hash, rustcrypto};

/// Hash, key, data, and HMAC.
type HmacCase = (&'static dyn Hash, &'static str, &'static str, &'static str);

#[test]
fn hmac_gives_the_values_of_rfc_2202_and_rfc_4868() {
    for (hash, key, data, expected) in hmac_cases() {
        let (key, data) = (hex::decode(key).unwrap(), hex::decode(data).unwrap());
        let whole = hash.prf(&key, &[&data]);
        assert_eq!(hex::encode(&whole), expected, "{hash:?}");
        assert_eq!(whole.len(), hash.output_len());
        // The parts of what is hashed may be cut anywhere.
        let (head, tail) = data.split_at(data.len() / 3);
        assert_eq!(hash.prf(&key, &[head, &[], tail]), whole);
    }
}

/// RFC 2104 section 2, written out: a key as long as a block is used as it is, and one octet more
/// makes it be hashed.
#[test]
fn hmac_keys_around_the_length_of_a_block() {
    let blocks = [
        (rustcrypto::SHA1, 64),
        (rustcrypto::SHA2_256, 64),
        (rustcrypto::SHA2_384, 128),
        (rustcrypto::SHA2_512, 128),
        #[cfg(feature = "legacy")]
        (rustcrypto::MD5, 64),
    ];
    for (hash, block) in blocks {
        for len in [block - 1, block, block + 1] {
            let key = vec![0x5c ^ 0xa7; len];
            let mut padded = if len <= block {
                key.clone()
            } else {
                hash.hash(&[&key]).to_vec()
            };
            padded.resize(block, 0);
            let masked = |mask: u8| padded.iter().map(|octet| octet ^ mask).collect::<Vec<_>>();
            let inner = hash.hash(&[&masked(0x36), b"data"]);
            let expected = hash.hash(&[&masked(0x5c), &inner]);
            assert_eq!(
                hash.prf(&key, &[b"data"]),
                expected,
                "{hash:?}, {len} octets"
            );
        }
    }
}

#[test]
fn hashes_are_of_the_parts_one_after_the_other() {
    // FIPS 180-4, one-block message "abc".
    let expected = [
        (rustcrypto::SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            rustcrypto::SHA2_256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            rustcrypto::SHA2_384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            rustcrypto::SHA2_512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        #[cfg(feature = "legacy")]
        (rustcrypto::MD5, "900150983cd24fb0d6963f7d28e17f72"),
    ];
    for (hash, expected) in expected {
        assert_eq!(
            hex::encode(hash.hash(&[b"a", b"", b"bc"])),
            expected,
            "{hash:?}"
        );
    }
}

/// RFC 3602 section 4: key, IV, plaintext, ciphertext.
#[test]
fn aes_cbc_gives_the_values_of_rfc_3602() {
    let cases = [
        (
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            "53696e676c6520626c6f636b206d7367",
            "e353779c1079aeb82708942dbe77181a",
        ),
        (
            "c286696d887c9aa0611bbb3e2025a45a",
            "562e17996d093d28ddb3ba695a2e6f58",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
        ),
        (
            "6c3ea0477630ce21a2ce334aa746c2cd",
            "c782dc4c098c66cbd9cd27d825682c81",
            "5468697320697320612034382d62797465206d6573736167652028657861637\
             46c7920332041455320626c6f636b7329",
            "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5\
             021c19216bad525c8579695d83ba2684",
        ),
        (
            "56e47a38c5598974bc46903dba290349",
            "8ce82eefbea0da3c44699ed7db51b7d9",
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf\
             c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
            "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e\
             35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55",
        ),
    ];
    for (key, iv, plaintext, ciphertext) in cases {
        check_aes(key, iv, plaintext, ciphertext);
    }
}

/// NIST SP 800-38A sections F.2.3 and F.2.5: the key lengths that RFC 3602 has no values for.
#[test]
fn aes_cbc_takes_longer_keys() {
    let iv = "000102030405060708090a0b0c0d0e0f";
    let plaintext = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
    check_aes(
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        iv,
        plaintext,
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
    );
    check_aes(
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        iv,
        plaintext,
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
    );
}

fn check_aes(key: &str, iv: &str, plaintext: &str, ciphertext: &str) {
    let (key, iv) = (hex::decode(key).unwrap(), hex::decode(iv).unwrap());
    let mut buffer = hex::decode(plaintext).unwrap();
    rustcrypto::AES_CBC.encrypt(&key, &iv, &mut buffer).unwrap();
    assert_eq!(hex::encode(&buffer), ciphertext);
    rustcrypto::AES_CBC.decrypt(&key, &iv, &mut buffer).unwrap();
    assert_eq!(hex::encode(&buffer), plaintext);
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn hmac_cases() -> Vec<HmacCase> {
    vec![
        // RFC 4868 PRF-1 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        // RFC 4868 PRF-1 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "\
             afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f\
             4af152e8b2fa9cb6",
        ),
        // RFC 4868 PRF-1 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "\
             87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702\
             038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        // RFC 4868 PRF-2 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "4a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        // RFC 4868 PRF-2 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "4a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "\
             af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c7\
             8b3239ecfab21649",
        ),
        // RFC 4868 PRF-2 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "4a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "\
             164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a\
             6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        // RFC 4868 PRF-3 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        // RFC 4868 PRF-3 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "\
             88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b9\
             4e3ab6e101a34f27",
        ),
        // RFC 4868 PRF-3 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "\
             fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c8\
             06b485a47e67c807b946a337bee8942674278859e13292fb",
        ),
        // RFC 4868 PRF-4 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "0102030405060708090a0b0c0d0e0f10111213141516171819",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        // RFC 4868 PRF-4 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "0102030405060708090a0b0c0d0e0f10111213141516171819",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "\
             3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679\
             ccf8a386c674cffb",
        ),
        // RFC 4868 PRF-4 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "0102030405060708090a0b0c0d0e0f10111213141516171819",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "\
             b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4\
             d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
        ),
        // RFC 4868 PRF-5 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20\
             48617368204b6579204669727374",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        // RFC 4868 PRF-5 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20\
             48617368204b6579204669727374",
            "\
             4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe82\
             96248df163f44952",
        ),
        // RFC 4868 PRF-5 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20\
             48617368204b6579204669727374",
            "\
             80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598\
             bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        ),
        // RFC 4868 PRF-6 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
            "\
             5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b\
             2d73697a65206b657920616e642061206c6172676572207468616e20626c6f636b2d73697a652064\
             6174612e20546865206b6579206e6565647320746f20626520686173686564206265666f72652062\
             65696e6720757365642062792074686520484d414320616c676f726974686d2e",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
        // RFC 4868 PRF-6 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
            "\
             5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b\
             2d73697a65206b657920616e642061206c6172676572207468616e20626c6f636b2d73697a652064\
             6174612e20546865206b6579206e6565647320746f20626520686173686564206265666f72652062\
             65696e6720757365642062792074686520484d414320616c676f726974686d2e",
            "\
             6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d\
             3860e6110c46523e",
        ),
        // RFC 4868 PRF-6 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
            "\
             5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b\
             2d73697a65206b657920616e642061206c6172676572207468616e20626c6f636b2d73697a652064\
             6174612e20546865206b6579206e6565647320746f20626520686173686564206265666f72652062\
             65696e6720757365642062792074686520484d414320616c676f726974686d2e",
            "\
             e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b1\
             0d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
        ),
        // RFC 4868 AUTH256-1 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7",
        ),
        // RFC 4868 AUTH256-2 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "167f928588c5cc2eef8e3093caa0e87c9ff566a14794aa61648d81621a2a40c6",
        ),
        // RFC 4868 AUTH256-3 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "cdcb1220d1ecccea91e53aba3092f962e549fe6ce9ed7fdc43191fbde45c30b0",
        ),
        // RFC 4868 AUTH256-4 PRF-HMAC-SHA-256.
        (
            rustcrypto::SHA2_256,
            "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "372efcf9b40b35c2115b1346903d2ef42fced46f0846e7257bb156d3d7b30d3f",
        ),
        // RFC 4868 AUTH384-1 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "\
             0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
             0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "\
             b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee9737a959796489bddbc4c5df61d5b3297b4\
             fb68dab9f1b582c2",
        ),
        // RFC 4868 AUTH384-2 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "\
             4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665\
             4a6566654a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "\
             2c7353974f1842fd66d53c452ca42122b28c0b594cfb184da86a368e9b8e16f5349524ca4e82400c\
             bde0686d403371c9",
        ),
        // RFC 4868 AUTH384-3 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "\
             809f439be00274321d4a538652164b53554a508184a0c3160353e3428597003d35914a18770f9443\
             987054944b7c4b4a",
        ),
        // RFC 4868 AUTH384-4 PRF-HMAC-SHA-384.
        (
            rustcrypto::SHA2_384,
            "\
             0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f200a0b0c0d0e0f1011\
             1213141516171819",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "\
             5b540085c6e6358096532b2493609ed1cb298f774f87bb5c2ebf182c83cc7428707fb92eab2536a5\
             812258228bc96687",
        ),
        // RFC 4868 AUTH512-1 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "\
             0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
             0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "\
             637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8ac2878ebd5803f6f\
             0b61dbce5e251ff8789a4722c1be65aea45fd464e89f8f5b",
        ),
        // RFC 4868 AUTH512-2 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "\
             4a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a6566654a656665\
             4a6566654a6566654a6566654a6566654a6566654a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "\
             cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b154546aa334ae9fb9afc2\
             184932d8695e397bfa0ffb93466cfcceaae38c833b7dba38",
        ),
        // RFC 4868 AUTH512-3 PRF-HMAC-SHA-512.
        (
            rustcrypto::SHA2_512,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "\
             2ee7acd783624ca9398710f3ee05ae41b9f9b0510c87e49e586cc9bf961733d8623c7b55cebefccf\
             02d5581acc1c9d5fb1ff68a1de45509fbe4da9a433922655",
        ),
        // RFC 2202 md5 1.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "9294727a3638bb1c13f48ef8158bfc9d",
        ),
        // RFC 2202 md5 2.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "4a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "750c783e6ab0b503eaa86e310a5db738",
        ),
        // RFC 2202 md5 3.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "56be34521d144c88dbb8c733f0e8b3f6",
        ),
        // RFC 2202 md5 4.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "0102030405060708090a0b0c0d0e0f10111213141516171819",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "697eaf0aca3a3aea3a75164746ffaa79",
        ),
        // RFC 2202 md5 5.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
            "546573742057697468205472756e636174696f6e",
            "56461ef2342edc00f9bab995690efd4c",
        ),
        // RFC 2202 md5 6.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20\
             48617368204b6579204669727374",
            "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
        ),
        // RFC 2202 md5 7.
        #[cfg(feature = "legacy")]
        (
            rustcrypto::MD5,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b657920616e\
             64204c6172676572205468616e204f6e6520426c6f636b2d53697a652044617461",
            "6f630fad67cda0ee1fb1f562db3aa53e",
        ),
        // RFC 2202 sha1 1.
        (
            rustcrypto::SHA1,
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "b617318655057264e28bc0b6fb378c8ef146be00",
        ),
        // RFC 2202 sha1 2.
        (
            rustcrypto::SHA1,
            "4a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
        // RFC 2202 sha1 3.
        (
            rustcrypto::SHA1,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             dddddddddddddddddddd",
            "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
        ),
        // RFC 2202 sha1 4.
        (
            rustcrypto::SHA1,
            "0102030405060708090a0b0c0d0e0f10111213141516171819",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "4c9007f4026250c6bc8414f9bf50c86c2d7235da",
        ),
        // RFC 2202 sha1 5.
        (
            rustcrypto::SHA1,
            "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
            "546573742057697468205472756e636174696f6e",
            "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04",
        ),
        // RFC 2202 sha1 6.
        (
            rustcrypto::SHA1,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d20\
             48617368204b6579204669727374",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
        // RFC 2202 sha1 7.
        (
            rustcrypto::SHA1,
            "\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "\
             54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b657920616e\
             64204c6172676572205468616e204f6e6520426c6f636b2d53697a652044617461",
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        ),
        // RFC 4868 AUTH512-4.
        (
            rustcrypto::SHA2_512,
            "\
             0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728\
             292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40",
            "\
             cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
             cdcdcdcdcdcdcdcdcdcd",
            "\
             5e6688e5a3daec826ca32eaea224eff5e700628947470e13ad01302561bab108b8c48cbc6b807dcf\
             bd850521a685babc7eae4a2a2e660dc0e86b931d65503fd2",
        ),
    ]
}

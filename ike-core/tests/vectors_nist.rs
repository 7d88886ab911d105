//! Known answers of NIST for the key derivation of RFC 2409 section 5 with pre-shared keys: the
//! CAVP sample "IKEv1 Pre-shared Key Authentication" (CAVS 17.3), data in the public domain.
#![cfg(feature = "rustcrypto")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ike_core::CookiePair;
use ike_core::crypto::{Hash, SharedSecret, Skeyid, rustcrypto};

struct Case {
    hash: &'static dyn Hash,
    cky_i: &'static str,
    cky_r: &'static str,
    ni_b: &'static str,
    nr_b: &'static str,
    g_xy: &'static str,
    psk: &'static str,
    skeyid: &'static str,
    skeyid_d: &'static str,
    skeyid_a: &'static str,
    skeyid_e: &'static str,
}

#[test]
fn skeyid_and_the_keys_made_of_it_are_nists() {
    let octets = |hex: &str| hex::decode(hex).unwrap();
    for case in cases() {
        let cookies = octets(&[case.cky_i, case.cky_r].concat());
        let cookies = CookiePair::from_slice(&cookies).unwrap();
        let psk = octets(case.psk);
        let skeyid =
            Skeyid::from_pre_shared_key(case.hash, &psk, &octets(case.ni_b), &octets(case.nr_b));
        assert_eq!(hex::encode(skeyid.as_digest()), case.skeyid);
        let keys = skeyid.session_keys(&SharedSecret::new(octets(case.g_xy)), cookies);
        assert_eq!(hex::encode(keys.skeyid_d()), case.skeyid_d);
        assert_eq!(hex::encode(keys.skeyid_a()), case.skeyid_a);
        assert_eq!(hex::encode(keys.skeyid_e()), case.skeyid_e);
    }
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    vec![
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 0.
        Case {
            hash: rustcrypto::SHA1,
            cky_i: "83d374c30b3b5082",
            cky_r: "5afc0da06c728029",
            ni_b: "b9a2d0e922dc66dd",
            nr_b: "2130166863b5ddef",
            g_xy: "739003ba2c11c982946c65e26acf661fbf8ebb78011a9fead79efa12fe3e71cc",
            psk: "75",
            skeyid: "62b04d112877e442fc3282fc37c076997718a0b9",
            skeyid_d: "369e5aad1bdb5faf6a3d929d500cdc236710a9ab",
            skeyid_a: "588e957d8d790d093b3a39f121473473af78e9bb",
            skeyid_e: "cd74b0c048219db81384d3fda8f6cda51e398a2b",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 2.
        Case {
            hash: rustcrypto::SHA1,
            cky_i: "00850dcd01dfbb65",
            cky_r: "9d1b436d5225ceee",
            ni_b: "8ab715a3d645c432",
            nr_b: "4f28a80cbf88491a",
            g_xy: "a66ac68310eede0f1881ef40573cd5d57d6efc0e1863643813701c01efe68584",
            psk: "af",
            skeyid: "9780a9162549b7cc992630c1c10d26eaa3b2a2df",
            skeyid_d: "4bf7be14152f52c8d30dea920527b5d5b18ea5e1",
            skeyid_a: "3acf3336180d9df5cb2aa2cccccfa170536aeb93",
            skeyid_e: "68e4d56abe94777c755f8c05452bbf5a7a63c096",
        },
        // g^xy 256 bits, nonces 2048 and 2048 bits, key 224 bits; count 0.
        Case {
            hash: rustcrypto::SHA1,
            cky_i: "c3ce11d26527489a",
            cky_r: "40c48632b736e43a",
            ni_b: "\
                e35329b17ef4d573e9f0cb60d58b4f6532356296dbd89476cd9e5a914887c7280d4be826c9b7e2e5\
                2738f14e04d086ca24eb953096d4756b4d8e069a0eb41fc9911e85d8bde42e80acc7986880fc9d2e\
                f1ab388044442391fb6d7386f7988600748e77ad05d7af824a6081c36b1e5786970f1cd6a3cb7912\
                dbfdcefd10f90ec36b7ab8b495f0772a4b13da510d2ebf24c47590c2c181e381db573edfedd870ea\
                e27ac2cd8051b056f9f00ce6a002846aa13440a9ff2c11140c0d7cee6a8368bd88fe7b43f2d33c81\
                006d29b013f9b9013ecd6a320d46be9b68e67a3fcaa429bcd1b6e1da1d415dbb981f936dd7d5ed94\
                ad8a5a88c058b1d08d918fab225f4436",
            nr_b: "\
                42ae3276f16c333e8ecbb505b68f60da794f1099e444576279ab838f5039b89e889fc3d516ff0374\
                a6fb96ff928e22ef77a6d65a8f66c0e4cff0ad65e80be619f3ff415c29e815393514a6c2e497ecb4\
                61cb14bde11babdffe0833faa5d65d1e99edf064554c81dd408a396cccd26beda19f2813e249a17b\
                b45204ca296936cdec0ad9ed0a3e5c31e69ab7412d74024631fee3cfa003794fe948b78993b3b11b\
                f1f2b964133b01bca63dfb47960eaf6ba6b08e9217ecbf883f359a8cda0b3a5fdd0cb52d0016d1cf\
                802da84a217e537cfa8cfc7d830906c7427f242be64d360b928458eeb8a0c6c59b7c6e0a93e0851c\
                8d76c9f863e314766c8d93b830510cc0",
            g_xy: "c2aac098d71afe7cbee05d7143e48afdb7152139214d1a1a912175c7c9d0f51a",
            psk: "c7a450fe8132a2a9966bc98b0017f56054e6df7fed07a90985f22a79",
            skeyid: "5566a72cf6bcd1f3444b8967641815ec123f0f88",
            skeyid_d: "b76468536b839d73cd421b0498639e6ce064e0ae",
            skeyid_a: "e2bc2d083b64d3b3c9c4506a75da3f896f8c7d8a",
            skeyid_e: "08ee6fd95d0449d3f23e4504f14b277f561651b0",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_256,
            cky_i: "4e30e8d4da0fecbf",
            cky_r: "cf8ce1348665f112",
            ni_b: "ead9ced494868f41",
            nr_b: "f1aff4f425a94f18",
            g_xy: "ea6c7c00e276d86adace3368f0c8245c3e486b8c6c1474a533b7da3b9c9b3f1f",
            psk: "a0",
            skeyid: "558a99b299773d267cf7c8ef073bf3b7af362c206c75a538403c5ef884d4cace",
            skeyid_d: "3b4bb2bf33fc3f002c84f59370f39ac705ea8efd299f64aaf723b7995a2b1560",
            skeyid_a: "c78ad634ec47feee88cda902731e731eb594114db6a1882bc2c948ee9765958c",
            skeyid_e: "33b10be0f43bc5984a86a1470c48ece12290915589b8c73fa5c7b8faf2bb6503",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 2.
        Case {
            hash: rustcrypto::SHA2_256,
            cky_i: "ee6f6035fd41597b",
            cky_r: "b4e44079cacbe574",
            ni_b: "507a1a4bfefac93b",
            nr_b: "a55cc141485d2cce",
            g_xy: "3a25ef6edca39936773cb1981d151699be97aff19fc774f9aeb9238ee227fc05",
            psk: "d6",
            skeyid: "fac0372193c0e1bd3c72f6e2989326c68b3faa7e8a41e0b2eeea64387c8f4a48",
            skeyid_d: "568c92c4115eed3a2e4e93e3c46f452f46fb8e2b61fd256b8b79a91053117f7e",
            skeyid_a: "cc58861268448cdef18f51442b910c4521da470b5e84ad6c181769c0bf1b13a4",
            skeyid_e: "9ebbf3736fc89ba37c6ea887ca6c5abe1b31c1db6aa228136a91c29865fe5dbc",
        },
        // g^xy 256 bits, nonces 2048 and 2048 bits, key 224 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_256,
            cky_i: "cef00e27d201b743",
            cky_r: "a9f866a0ee47154c",
            ni_b: "\
                754d8b470aef2ee7d9ebc2f993230feab96b55cc0983be34c47bccd4af2ecfabb6fca757aa2a9b7c\
                32ba000d943cfd2aabb3bca91e62bfd91d7357023e79a35124b9bbd469c7230aceb7f8cafe3ca063\
                44072b30f38a1e1c442282b2afcc6dc46ed9caec67439957b60fdd5a685af4c60e8e22d1523473a9\
                2f8c9b272b2ef54a366432cbdb7fdac36b97b878e7ec1b4f3023bdbbb8f6465cbc0ab1b1371ab9e2\
                2e821ec4984cc11a1ec3a82796d5934bc3a3f34350c1e04cb204cb7180cc179e34e8f781c31fed51\
                b50391cec5333d089ce409843ffcb12cd360185e97f60a0136fc719eaf39244b2c44f73bd3ce2e9f\
                67a74891e729e94efdfb467f3c66575e",
            nr_b: "\
                b68de83a011314c1e2f846b834d4b7239f3a3e269c39995af251d9088da4a0f8f826be762fcdba7a\
                aae8ad3d61dddc6924a219ac8202784614c1c5003b7b199126b00f518d59c61a7bcbce207e779d7a\
                efd31fe46748ca03e3e4a023859da2270fa23756ed359d2747c66f302387f3c8fc1f38b2ceef1337\
                b7d2b8e69df16e3b24cb53f785dfb7a14b7529cfac6901c21588b0207143133db8a8c43b00477714\
                c96cc1a009961e5b511d9674304b9ff78d7625b23d11a75d8aeef1d9ddaa14d338c71604911793d5\
                32c78e1fdc32751253e6945689213c54c91340d4e17800c3281983b63df2d0cdb3d15964887a6b5d\
                9f12147eacbf4947fe563884405fd567",
            g_xy: "9f7e3fd7e33e01d419094ea3b0b43d273d41ecd1ed00c2129720543c339c52d7",
            psk: "65d2c5c0363143554d8513c86d1ebb7b478a41f308f0aee3e1acb0a2",
            skeyid: "fe3db842d5ab1cc9ac05a1a707d1e39ec0bd081a1401f44a2e1d3e1555ba2593",
            skeyid_d: "4f1a1a9d9e0c0929a8b97a9a8a642771fcc61552067a91a04f9d1c257771339c",
            skeyid_a: "c544b86c56ef4009599ed9bbf36814f8e6001b14746b11f2e656a15d26b3501c",
            skeyid_e: "b15f397fb1b3537a7384b592d6c7d985a1ed7deda270db035d271b1972b9f38d",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_384,
            cky_i: "9ccc539d30d4f929",
            cky_r: "a88216c6e1824511",
            ni_b: "d6596b7e5b398534",
            nr_b: "136fbdfa8d0ceb8e",
            g_xy: "b2d1434e169be2b6463f65c958ebc51a3f2da220bbe66b7d7a7d14ca4a7724c7",
            psk: "9e",
            skeyid: "\
                b54fa27cb4251051e44a659d73591845691d11f1874bf4e4088e5df6462d28e57a3a2af3ab4f9b74\
                6a8f5766f8785f2b",
            skeyid_d: "\
                5d168e1223d7e375b159ce3ead6aa46a194b59e96168db061ea571b87edf843f26ea41e5b54b23a6\
                f5a037318830640d",
            skeyid_a: "\
                04cdf9df4afa53d3884624f7612768a0e4a01c1c5471315c5c99867831be20b4a55efbce9091c9eb\
                69741d704dfe5e74",
            skeyid_e: "\
                3849065ad3f9ab2ec0f61c5c61b0ccc04f77d9ee5092a132f679972dc9c75c9334aff957b4cbbaf5\
                4cb65dfae1b55417",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 2.
        Case {
            hash: rustcrypto::SHA2_384,
            cky_i: "06075984ee772a80",
            cky_r: "20c25c19377f5218",
            ni_b: "c94f263942b6ceaa",
            nr_b: "585b244d663f0e60",
            g_xy: "2f950108c9caa976a329f7bc27e939ce8b76e00e32183b2b34eae07e70a4dee0",
            psk: "b5",
            skeyid: "\
                f73dc3eef914a265e4aca4044b2d4755ab6dc2891b792911272bbd9cdf153bbc9d8df5c7c5a6414b\
                3678ac9314efae16",
            skeyid_d: "\
                b8c1085b5091147d108895f22708217b03cae9524bf749c16752124deb5adcba495b673e211041f5\
                554a41ef7a596454",
            skeyid_a: "\
                0d099763f55a0d509337f4492d547c34d6dac0fd5e770b151e9c2581a951eef25d2a14ae9ae214a6\
                af01e675b05dcc2b",
            skeyid_e: "\
                f991433d97ae9a5dbd49575b290c85d66311e38d60d7a9bbd5946e52872755cab98849b73ce3148b\
                ffafe89b40c2bcf1",
        },
        // g^xy 256 bits, nonces 2048 and 2048 bits, key 224 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_384,
            cky_i: "88bbde1daa1a3bf1",
            cky_r: "f5761a2ebc38f492",
            ni_b: "\
                cda3a7a8242b2a9a1bf37ceb4fcab909de301ef622e4d2f71c4cabf6ea03cb286f5ce0472b2b7db2\
                6fc805147aed998c09ccf424b075fc1101ef1dc3b4a423854f192782f5e0f7fd440c9c2d5821d4ee\
                e77519009dac7af0c92429366cea5137a588fd1de958d6abaf7e679cdc8423f9257ba35b98be69fd\
                4c438f52c0c1f961146efa7bac2e13a849cb1653f50d84d559cf55122e209d4717da45f65f4a8a5a\
                1d60c4b22089d5419947038376df09425f089223b453bb2894a8d2283a9a458330b6a6cb052c5caa\
                7ae90895366f70fface82341fae494cd50ffe6cac72c9016e560e5335d496de7ff8d26f859a490d7\
                c76343f3d6a07d9e6ca1bbb94895a323",
            nr_b: "\
                5c3d727f3f36dd420dd51a1bff88c36804c7c214c93243c37e178aed826ba007d8448487e0db1167\
                1b69987be6c5dfa9a48ffd80145d70ba54bb2686ec1d50fb32f23b048fc64890faaed9fb6747b8c6\
                03d1d7073fefe2391d2ad0f3c159673173d0bc3febdf9494df1f4aa3c4afccaeaca2d45c2e4f6c1d\
                9602eff48698245f5aa14529f14c15c3b03c94aa44dc8d082003a581be7f8b3e18a709c6a64bcd0c\
                c9c3d79baed70cb0f4be6713a066093cee9ab992dd5b19de8a6b5ea15e4e449b7f06ac9b652d0132\
                b175ee14635b8becccfc7071ad5cb44a87c216e9414360c50472c1352e9ef61dcedea5a7c26d1723\
                328573b27da059edad7b3cfdb80746d3",
            g_xy: "37c6d9471857650f12a397659f211e7cdf82a5dd6ea5ec1e8d0a2072858c046c",
            psk: "768f0942d5e4c62cf386076a0f830620029c0dd853543c526b810abc",
            skeyid: "\
                b52129b5faefae715cc31929cb343043e8d1714d11ca316a8f03d12389c55a4f1d93e70d27ba55c3\
                eedecc137352ae24",
            skeyid_d: "\
                1e00c192e771cfa47575db9f0ee5389f9ed379e507be35200bb9ad4fa36d557b5b2d674c7c16b76b\
                eea23a80435eea3a",
            skeyid_a: "\
                fe16a249ff4cd375f5c6a61d371cfc7f923722f114621804b32b1d446d33d1a07836da4677c0e2d6\
                bd28478b34a1834d",
            skeyid_e: "\
                65641561b2bac051bb23610247bb17cfadfdee8fb2fac072e2bed012daaa248438dea0ff4325d180\
                5750080ff4b12750",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_512,
            cky_i: "2ce3422d3dcba7f5",
            cky_r: "82ca94cbe7b77049",
            ni_b: "482a05eca86fba51",
            nr_b: "84ee19d02272de2e",
            g_xy: "aea3ae089168001f2e4bd693bc8303ad094b71ec57921bb0f9d1252c09c46ed1",
            psk: "4c",
            skeyid: "\
                5bcb5499ae4c1437ce6c195392bf26bf7980a59bcb787a0b58671771a3d4b06dc1eb7809241b7e59\
                31740b05bf8a9873bb493c5f067e28e4f58ab65c3dbe44cd",
            skeyid_d: "\
                7be2bdc8c03d05b5932b95387cad909718dace7bf9e4eeacbaae431d6521828b70f8a6011640927e\
                ae4ebbf72f3dd154040b7ee7ed2fc15683190d3da50ac7e6",
            skeyid_a: "\
                75149f3f671435eafafb3868eff58a6367ebbb50006c8723ccead82fe49967651decf63a079b0ffa\
                a241eb341a90d612876e76866450739e49f88ba306861b73",
            skeyid_e: "\
                39dd0670384325de75cc2dbd681d15423b630e93e5fefb0224f1defca1a9b0fdda61f8c922428b00\
                cde4c386c4ca8898a48969e4c19f1fe30899a6260c5d8d46",
        },
        // g^xy 256 bits, nonces 64 and 64 bits, key 8 bits; count 2.
        Case {
            hash: rustcrypto::SHA2_512,
            cky_i: "21e18d4263361409",
            cky_r: "8a84715d2677b3f5",
            ni_b: "dafade5e6f3feddd",
            nr_b: "176bf5f19b54447a",
            g_xy: "f6c607655621dca7012d9ebcef6fb0ac23ca5d59f558c9fa04b037cc7af9b62c",
            psk: "7f",
            skeyid: "\
                bb83854cd0e184210409b55ab256395a6e3ebd5bb3e15702303117b77df8ec60cee09906aae3df90\
                d3143cf2a473a2ded4e4dccb8bde7351d78690ad5d8d4c34",
            skeyid_d: "\
                edb74c292cf7c54a4d142f48198d41baaccd033ccf05582d3153dc0313fecef1d74ed2e94dcf8289\
                1526785f409ad8269b81f5f43fdc5852a9efe07135a272e1",
            skeyid_a: "\
                8472dca4133f8b4f6eb322da02ea65ba574a2d2fa35c722d6026daa7c4830ab41a79f809d4522a28\
                b25d1b337ba9131e12d2b196664094748666870ac4a4ae90",
            skeyid_e: "\
                04720ccd1ca6ec7f2d893e271b583366f79728ba3098a281666923fcab268a1bdd2ed613217c0c47\
                c8f4b5752b97487a3e5948125c13f2f2d834adcd77f00313",
        },
        // g^xy 256 bits, nonces 2048 and 2048 bits, key 224 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_512,
            cky_i: "4c823dd835c41cd6",
            cky_r: "0a55ac858c012c53",
            ni_b: "\
                2c5eea67dd9242ed9f6991ec7959d424bc62765f6ef6b4daece932a63cbdae2d24210d9bf4237365\
                91aa3180db82d29e4760934a2b03046d14b2a4ae3f8e9996c69d2a06b190c2b6c159b616ae194afc\
                15f8ab945c6e83ab2d679526dcf35a94d60b0c4bdbac5a2e05d9cd50def8237a91dc5c6b051236fb\
                20c8c4fdd083497d9bcad1454595b1d86bab4efd01f34d41a2260158fd1035f6bd27959a8d50ba76\
                a7f3ac8a51b96ec9b1dee921f5abae62c7837d4a00bbcc9f4f19ac3982354844dd4d9c49e59a46cf\
                52d826434cce4eefc5e917cc3ef6d90dd3581b7f32fcb38e6605f825b1602e12158484514d78e663\
                555701007d5aaeeff672e747d75e65db",
            nr_b: "\
                0d07eec5f6b707f5a1ecaed5eb1cb4ae675bb2aeba20c21037bb137b2e6c85ab211734459e55845a\
                f54c9d38d95a57d4d5f0dd114ac7c91856b5247b0c91d6bf475c521d96891c3703ded0ec24212807\
                fd96d9a581c0a821d5c7010d4aedc36a1b6a9f6a8fd3f60e8b580a92114d9a677f140f0cc3ba428e\
                df838eeae9eb0fc65ecdb6db15021833748ece0a68c6c2e4d82c34b333684c3a32dda7202ab51314\
                39329fb1c17f28ded7a4aac4e3cf6ccfe7f6467d84af0ac84ca37cabd664613101fffa398c872072\
                dfdd3e9c5d29bb901f7456121a1e820f701daefe0bc5ba8317f3bb22c84d48b5554ba932993bfb0a\
                956be146971648c0395ad66511e8d731",
            g_xy: "8e8f156f1b3ff138f5cd1b71a84e485d274d85f79707fbf6430da8bd5056ce1c",
            psk: "363d227384d4618fd3d05fd81b965260067d994455eff96fcb286fb9",
            skeyid: "\
                8afcb5801317b3536f0e57031dedc517015dfe81c5a195756f5cdbd65e11787dfbd3081ab4a3da2b\
                d79467dab695f95477534d200da3989eacec17b8baa2348c",
            skeyid_d: "\
                e24d4be8487fd17f9a2164082013487244e3e3550cb245a888bf7ae94a889349e504c9f3b7754395\
                302a32143cc16f3d5af31610ae2af95a10eb141b6c6341d0",
            skeyid_a: "\
                e8c239cc9ba7d234d5b23e4f82ab259eb4013266c67bd52d1c7e81b6cf88f62bcebfc27495450c2e\
                ccab64fd9e8e8d0fe671aaf69cd10b2898c835f817d44e15",
            skeyid_e: "\
                4a2943004a9ef12ff50734481483e7ed544a0bf6e0644bdf393e306cac3814dd6d1a053a320fd119\
                9219c7bf6682eab6a8b6610e0148b5a227f7c17211a4857f",
        },
        // g^xy 8192 bits, nonces 64 and 64 bits, key 8 bits; count 0.
        Case {
            hash: rustcrypto::SHA2_256,
            cky_i: "c35e9ab764660a4a",
            cky_r: "301dd83c6ddfc9ac",
            ni_b: "04c8a56a1729de5f",
            nr_b: "7edb5436a409f436",
            g_xy: "\
                3120d1737bbf5343af0f9b2d582b49fcc423137213626e8a10404e4a6b6001e5c8a9e3052f7196de\
                9ce94d7b34776a582138c92b735f85df08bc9b7c38e178d4b3ec7395a611757e1022605f701ce5bc\
                51a6391e5ae9ac94b9f249bce8eabe89266ea8756da1c43c6a3089e64dc0124027197693630745bb\
                f0e0c0199e9867ef3a25ad78497976b8ab03a53f0ac78b46ca6ea294a5556053d9c95a8a7665ed77\
                c63b7371ded84d8e9a7bec08f98d0019347445a95c284a9a6dbc95338376806dd8f95f7fc1375d42\
                c3d9f67961c357730debf2e82b6889d96e049a2dae7c231bd869fdc4d8097ed3b142309085b328ee\
                eecacd846396e15c24c68fc7216bfd2b92bb4ee09e79208da1c18abec33ce13359926dcbe7a83ff2\
                a02ebb88f95e7eaf55bbc64a13805a745c2bd14216319fa2136abba5b4e99282693bf4f4db9619ea\
                434269d85390609dfe760cb696d6526d7bf45b617a8858ed7b055548528646499f5942fcd787edcb\
                a4b115466218c8ac27c7f77078410754f037dc2c7082b4039d51bd1869d4be8761787b84f14c23a4\
                cd4879633414a4e41b0bf9ed53afa69feb0c35decb0165be8cf61db3f9a2cbd76de69e7e2425bc93\
                ba54198af8fe3dcb13189609bc901707de9978bda45c95ab0195bc5dde5e585e13bc5821c70fc5eb\
                507222420b2cbcbe0df3d46392632c7136770a4873c2d7fd06efa528b92ba8bf63633fd61d705663\
                28051a28ce8ca946bffdcdfb24b808a653d533a477c28d74b5fa5ad468242f127c475424eb180811\
                7100f959f3ab6297db52b4dca354270c071e78d7cc346bc0ee8f10ee09a9b5205d01d4ee283e72d7\
                8d754abcae3a0d44269679ad3c389c0053e19b4791c1c0ffb4e3134517596dc8a7f78d75e69d71e7\
                1c2ae37495ee0fd96d1921868eb2b11c051db5fc5bf1565a2b4772dbfc726082a451c9e27a39c05c\
                6c220a49352376aa2a56ba33908c12bcdc77568b16da594904e6ec8009e229fb234c87d90cfc33a3\
                1f01c98fa60480009bb1caf1c77648bec78268f1a5e776d712f51ca1e08426d771fa701f1df76e4d\
                9a9f708ce8339d66f4c1260e1c217db9dde3542f24e8db2b7de6f2471949f68d04802b54e211aefb\
                fa68cc6da098b231cc70cdac4ee57a260ae25c9a5b8fa0d92534819a8313aa50272105df79ceb2cd\
                02eadc8be04cafa9f30371fa5e28512b6c4dbc54e06aec5489047a13043c190b5bd3c721b04bec2f\
                e8b6814bf4768a72a1e43f663ac92eb2614fa7d3388177a8bc68c667c82edd7673b3011bd51e22e8\
                aed9ef673d14fdd169a1be3cd179a1f990fff71091dbe129fee42807a27fafffebf1d2f1d862b940\
                f4b30ea20639e5e3f37ec02e09e6e6305de6ebd0ce8c15f39491f33ac9fbea068489bc7813afd408\
                2f61c0438edbb7a1b56bb3211d97d19fbdb7f8849c201db3",
            psk: "dd",
            skeyid: "21311fffa2164758248fffd0399ba2b078ab2ef2b72d7f5b9bc2c758c1abd88d",
            skeyid_d: "bac96727ca21b853e99911fef6c06fd28f4013302ae735cc069b072c991e33af",
            skeyid_a: "789433dde03fcaa0b31bd165226df10bfa8c1ce9dea8479b1b0cbd94d62a19ef",
            skeyid_e: "9babf116284c90416da65abd46c6137736d84dc02af795e2ad4b716861ed1bc4",
        },
        // g^xy 2048 bits, nonces 64 and 64 bits, key 8 bits; count 0.
        Case {
            hash: rustcrypto::SHA1,
            cky_i: "e8bbc995e70cc390",
            cky_r: "6b4c4c8303c9caf7",
            ni_b: "b9ebb54a863ac278",
            nr_b: "426b751a44465856",
            g_xy: "\
                73c4a9626fcac2411e8f2fc583f4cf7b7c1e0e61deac20b2820c0770b12c377835bf5f4b130168a8\
                d2a933e0ea282bf26b71778a2cef478a0e60f79e618720ae9b9ba7f75aba7eee86897d0d5a5fac3f\
                5c94780884416fcbd96a28574dd13e86a46ea78d1b97ec1d7ff5ba99af48301a49b6a5f90239d22d\
                ce9c8c658a3df439d6f3ea291d9067d0a6770221140d6c62eebaaddddfda56a4e92f3ac36de35777\
                2e1f2d688206f8c62b85c076ef99d721fe7d344f5117d7c1499ac148697036c6f358bc6b2aa176dd\
                8dee05979b4715a58f8e20062b3191fe0604893bb781dd223c032984f5889b987b08e74a1225ec32\
                5948d913bd2562e7608142d4d5a1351b",
            psk: "1b",
            skeyid: "420180cc4c76ec5e810781341c0e29f37c648c77",
            skeyid_d: "d37b1d862f4f31ed2accfce0e8f3d2808bde2097",
            skeyid_a: "4038e6fe1623ae5e183acd1a3137d39420399a7c",
            skeyid_e: "ac534425054482ae627443d8c718b27bad4f048d",
        },
    ]
}

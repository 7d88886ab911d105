//! Published ESP packets, with the keys that they are under. Numbers only, each with its source.

/// One packet, as on the wire, and what is in it. Numbers in hex.
pub(crate) struct Vector {
    /// Where it is from.
    pub(crate) name: &'static str,
    pub(crate) suite: &'static str,
    /// Key, then salt, or the integrity key.
    pub(crate) keymat: &'static str,
    /// All 64 bits of an extended sequence number.
    pub(crate) sequence: u64,
    pub(crate) packet: &'static str,
    /// With padding, pad length and next header.
    pub(crate) plaintext: &'static str,
}

/// The combined modes. The draft gives most of its packets the next header 1, though an IPv4 packet
/// follows; two of its texts are no packets at all.
pub(crate) const COMBINED: &[Vector] = &[
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 1",
        suite: "aes128gcm16-esn",
        keymat: "4c80cdefbb5d10da906ac73c3613a6342e443b68",
        sequence: 0x8765_4321_0000_0000,
        packet: "00004321000000004956ed7e3b244cfefecf537e729d5b07dc30df528dd22b768d1b98736696a6fd3485\
            09fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d7\
            68fd9732459018148f6cbe722fd04796562dfdb4",
        plaintext: "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f73697004\
            5f756470037369700963796265726369747902646b000021000101020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 2",
        suite: "aes128gcm16",
        keymat: "feffe9928665731c6d6a8f9467308308cafebabe",
        sequence: 10,
        packet: "0000a5f80000000afacedbaddecaf888deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba7\
            6d5d114d2a5c3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd183b70d3a\
            a8bc6ee4c309e9d85a41ad4a",
        plaintext: "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d0010000010000000000000373\
            69700963796265726369747902646b00000100010001",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 3",
        suite: "aes256gcm16",
        keymat: "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344",
        sequence: 2,
        packet: "4a2cbfe3000000020102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06ef\
            ae9d65a5d763748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96",
        plaintext: "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf00000204\
            05b40101040201020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 4",
        suite: "aes128gcm16",
        keymat: "0000000000000000000000000000000000000000",
        sequence: 1,
        packet: "000000000000000100000000000000004688daf2f973a392732909c331d56d60f694abaa414b5e7ff5fd\
            cdfff5e9a284456476492719ffb64de7d9dca1e1d894bc3bd57873ed4d181d19d4d5c8c18af3f821d496\
            eeb096e98ad2b69e4799c71d",
        plaintext: "4500003c99c500008001cb7a40679318010101010800075c020044006162636465666768696a6b6c6d6e\
            6f707172737475767761626364656667686901020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 5",
        suite: "aes128gcm16-esn",
        keymat: "3de09874b388e6491988d0c3607eae1f57690e43",
        sequence: 0x1010_1010_1010_1010,
        packet: "42f67e3f101010104e280000a2fca1a3fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d11\
            38ec9c35791765acbd8701ad79845bf9fe3fba487bc91755e6662b4c8d0d1f5e22739530320ae0d731cc\
            978ecafaeae88f00e80d6e48",
        plaintext: "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c6d6e\
            6f707172737475767761626364656667686901020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 6",
        suite: "aes128gcm16-esn",
        keymat: "3de09874b388e6491988d0c3607eae1f57690e43",
        sequence: 0x1010_1010_1010_1010,
        packet: "42f67e3f101010104e280000a2fca1a3fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e13\
            79ed369f071f35e034be95f112e4e7d05d35",
        plaintext: "4500001c42a200008001441f406793b6e00000020a00f5ff01020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 7",
        suite: "aes192gcm16",
        keymat: "feffe9928665731c6d6a8f9467308308feffe9928665731ccafebabe",
        sequence: 10,
        packet: "0000a5f80000000afacedbaddecaf888a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8\
            858b5bfbdbd0315b27452144cc7795457b9652037f5318027b5b4cd7a636",
        plaintext: "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 8",
        suite: "aes128gcm16-esn",
        keymat: "abbccddef00112233445566778899aabdecaf888",
        sequence: 1,
        packet: "0000010000000001cafedebaceface7418a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349\
            c1d2fbec168f9190feebaf2cb01984e65863965d7472b79da345e0e780191f0d2f0e0f496c226f2127b2\
            7db35724e7845d68651f57e65f354f75ff17015769623436",
        plaintext: "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18d75b\
            81dc91baa0476b91b924b280389d92c963bac046ec959b6266c04722b14923010101",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 9",
        suite: "aes256gcm16-esn",
        keymat: "abbccddef00112233445566778899aababbccddef00112233445566778899aab73616c74",
        sequence: 0x156F_3126_DD0D_B99B,
        packet: "17405e67dd0db99b616e640169766563f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d52\
            4a3018d9a57ff4d3a31ce673119e451626c2415771e3b7eebca614c89b35",
        plaintext: "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 10",
        suite: "aes128gcm16-esn",
        keymat: "3de09874b388e6491988d0c3607eae1f57690e43",
        sequence: 0x1010_1010_1010_1010,
        packet: "42f67e3f101010104e280000a2fca1a3fba2cad12fc1f9f00d3cebf305410db83d7784b607323d220f24\
            b0a97d54182800cadb0f68d99ef0e0c0c89ae9bea8884e52d65bc1afd0740f742444747b5b39ab533163\
            aad4550ee5160975cdb608c5769189609763b8e18caa81e2",
        plaintext: "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e0001e8c18d657\
            59d52284a0352c71475c8880391c764d6e5ee0496b325ae270c03899493915010101",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 11",
        suite: "aes256gcm16-esn",
        keymat: "abbccddef00112233445566778899aababbccddef00112233445566778899aab73616c74",
        sequence: 0x156F_3126_DD0D_B99B,
        packet: "17405e67dd0db99b616e640169766563d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb5683122650\
            8bebd2dceb18d0a6df10e5487df074113e14c641024e3e6773d91a62ee429b043a10e3efe6b012a49363\
            412364f8c0cac587f249e56b11e24f30e44ccc76",
        plaintext: "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e6f6c6f6769\
            6573017468617477696c6c01646566696e65746f6d6f72726f7701020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 12",
        suite: "aes128gcm16",
        keymat: "7d773d00c144c525ac619d18c84a3f47d9664267",
        sequence: 0xFFFF_FFFF,
        packet: "335467aeffffffff43457e9182443bc6437f866bcb3f699fe9b0822bac961c4504bef270",
        plaintext: "01020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 13",
        suite: "aes128gcm16-esn",
        keymat: "abbccddef00112233445566778899aabdecaf888",
        sequence: 1,
        packet: "0000010000000001cafedebaceface7429c9fc69a197d038ccdd14e2ddfcaa0543332164412503524303\
            ed3c6c5f283843af8c3e",
        plaintext: "746f016265016f72016e6f7401746f0162650001",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 14",
        suite: "aes256gcm16-esn",
        keymat: "6c6567616c697a656d6172696a75616e61616e64646f69746265666f726569617475726e",
        sequence: 0xFFFF_FFFF_FFFF_FFFF,
        packet: "796b6963ffffffff333021696765746df97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a27\
            4b39b49c3a864cd3d78ca4ae68a32b42458fb57dbe821dcc63b9d0937ba2945f669368661a329fb4c053",
        plaintext: "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e\
            6f707172737401020201",
    },
    Vector {
        name: "draft-mcgrew-gcm-test-01 case 17 (RFC 4543)",
        suite: "aes128gmac",
        keymat: "4c80cdefbb5d10da906ac73c3613a63422433c64",
        sequence: 7,
        packet: "0000432100000007000000000000000045000030da3a00008001df3bc0a80005c0a800010800c6cd0200\
            07006162636465666768696a6b6c6d6e6f707172737401020201f2a9a836e155106aa8dcd618e4099aaa",
        plaintext: "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c6d6e\
            6f707172737401020201",
    },
    Vector {
        name: "RFC 7634 appendix A",
        suite: "chacha20poly1305",
        keymat: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3",
        sequence: 5,
        packet: "0102030400000005101112131415161724039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d4\
            66ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163f\
            ac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0f7b11b369907e1ad43",
        plaintext: "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d\
            0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637\
            01020204",
    },
];

/// RFC 3602 section 4: AES-CBC without integrity, so without ICV.
pub(crate) const CBC: &[Vector] = &[
    Vector {
        name: "RFC 3602 case 5",
        suite: "aes128",
        keymat: "90d382b410eeba7ad938c46cec1a82bf",
        sequence: 1,
        packet: "0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a487\
            0b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c\
            551b874aa269add047ad2d5913ac19b7cfbad4a6",
        plaintext: "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021\
            22232425262728292a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01",
    },
    Vector {
        name: "RFC 3602 case 6",
        suite: "aes128",
        keymat: "90d382b410eeba7ad938c46cec1a82bf",
        sequence: 8,
        packet: "000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689b\
            b379d2d750c0d915dca346a89f75",
        plaintext: "0800b5e8a80a0500a69c083d0b660e0077777777777777777777777701020201",
    },
    Vector {
        name: "RFC 3602 case 7",
        suite: "aes128",
        keymat: "0123456789abcdef0123456789abcdef",
        sequence: 2,
        packet: "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237c\
            a96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2d\
            ecd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d",
        plaintext: "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d\
            0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637\
            0102030405060708090a0a04",
    },
    Vector {
        name: "RFC 3602 case 8",
        suite: "aes128",
        keymat: "0123456789abcdef0123456789abcdef",
        sequence: 5,
        packet: "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe453\
            18e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207\
            ed971ef3d2726d9b5ef6affc6d17a0decbb13892",
        plaintext: "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffffffff\
            ffffffffffffffffffffffffffffffffffffffffffffffffffff0102030405060708090a0a04",
    },
];

/// Made for this project from RFC 4303, RFC 2404 and RFC 4868 with the hmac module of Python: no
/// published packet of NULL with HMAC was found.
pub(crate) const NULL: &[Vector] = &[
    Vector {
        name: "null hmac sha1 96 tunnel",
        suite: "null-sha1",
        keymat: "69da0766c90b531afa724da6f06d89b4cddef154",
        sequence: 1,
        packet: "000010010000000145000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2\
            040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\
            30313233343536370102020454af26fe7decb991efa9bfbf",
        plaintext: "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d\
            0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637\
            01020204",
    },
    Vector {
        name: "null hmac sha256 128 transport udp",
        suite: "null-sha256",
        keymat: "c95cc256cbde476828e71ce63c0267cb9dc1fa29a44ee21dc959d0aa1173c5b7",
        sequence: 0xFFFF_FFFF,
        packet: "00001002ffffffff04d2162e000d000068656c6c6f01011113f59d90c9391045a64bd2c9c0c019ea",
        plaintext: "04d2162e000d000068656c6c6f010111",
    },
    Vector {
        name: "null hmac sha256 128 esn",
        suite: "null-sha256-esn",
        keymat: "fd5945c1be05ee5886bd08ced3dfc6e66ba6e26f523f9ab51efd790f1ff1e601",
        sequence: 0x0000_0001_0000_0000,
        packet: "000010030000000004d2162e000d000068656c6c6f0101119fc0543ef619fcbd8f5ebc69bbb0bbd5",
        plaintext: "04d2162e000d000068656c6c6f010111",
    },
    Vector {
        name: "null hmac sha384 192",
        suite: "null-sha384",
        keymat: "4a4630500d767691825f085084e2eddcee4fa27dd70e5c4b5d1fba42a339c2d16bc00126e4f832784a68\
            cd8ee64fc538",
        sequence: 2,
        packet: "000010040000000245000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2\
            040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f\
            3031323334353637010202048ab503ba50a9e720dcd1732c207fbb7aa2bf68c7871c3a77",
        plaintext: "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d\
            0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637\
            01020204",
    },
    Vector {
        name: "null hmac sha512 256 dummy",
        suite: "null-sha512",
        keymat: "c6f261033713377df3962413f8ead1ac221748a46334fb9e50d9a8cc27169792c71872aaba76544605e6\
            65719b24162e31705c1b45e5925c4c7b9bbc3a86438a",
        sequence: 3,
        packet: "000010050000000300000000000000000000003b36280c4e1bcdb22be3e3379b98cb4b83e9a2119db996\
            127cf87c05984331fd37",
        plaintext: "00000000000000000000003b",
    },
];

//! Numbers of ISAKMP, the IPsec DOI and IKE, each with the names that the RFCs and IANA give.
//!
//! All are newtypes, not enums: a value without a name here survives a decode and encode round
//! trip unchanged, and `Debug` prints the name where there is one.

use core::fmt;

macro_rules! wire_numbers {
    ($(
        $(#[$outer:meta])*
        $name:ident($integer:ty) {
            $($(#[$inner:meta])* $constant:ident = $value:literal,)*
        }
    )*) => {$(
        $(#[$outer])*
        #[expect(clippy::exhaustive_structs, reason = "a number on the wire, for ever")]
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub $integer);

        impl $name {
            $($(#[$inner])* pub const $constant: Self = Self($value);)*

            /// The name of the number, if it has one here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($constant)),)*
                    _ => None,
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}

wire_numbers! {
    /// Next Payload field, RFC 2408 section 3.1.
    PayloadType(u8) {
        /// No further payload.
        NONE = 0,
        /// Security Association.
        SECURITY_ASSOCIATION = 1,
        /// Proposal, only inside a Security Association.
        PROPOSAL = 2,
        /// Transform, only inside a Proposal.
        TRANSFORM = 3,
        /// Key Exchange.
        KEY_EXCHANGE = 4,
        /// Identification.
        IDENTIFICATION = 5,
        /// Certificate.
        CERTIFICATE = 6,
        /// Certificate Request.
        CERTIFICATE_REQUEST = 7,
        /// Hash.
        HASH = 8,
        /// Signature.
        SIGNATURE = 9,
        /// Nonce.
        NONCE = 10,
        /// Notification.
        NOTIFICATION = 11,
        /// Delete.
        DELETE = 12,
        /// Vendor ID.
        VENDOR_ID = 13,
        /// Attributes of Mode Config and XAUTH (draft-dukes-ike-mode-cfg).
        ATTRIBUTES = 14,
        /// NAT discovery, RFC 3947 section 3.2.
        NAT_D = 20,
        /// NAT original address, RFC 3947 section 5.2.
        NAT_OA = 21,
        /// NAT discovery in drafts 00 to 03 of what became RFC 3947.
        NAT_D_DRAFT = 130,
        /// NAT original address in drafts 00 to 03 of what became RFC 3947.
        NAT_OA_DRAFT = 131,
        /// Fragment of a message, as Cisco and Microsoft send it.
        FRAGMENT = 132,
    }

    /// Exchange Type field, RFC 2408 section 3.1 and RFC 2409 appendix A.
    ExchangeType(u8) {
        /// Base.
        BASE = 1,
        /// Identity Protection: main mode.
        IDENTITY_PROTECTION = 2,
        /// Authentication Only.
        AUTHENTICATION_ONLY = 3,
        /// Aggressive.
        AGGRESSIVE = 4,
        /// Informational.
        INFORMATIONAL = 5,
        /// Transaction: Mode Config and XAUTH.
        TRANSACTION = 6,
        /// Quick mode.
        QUICK_MODE = 32,
        /// New group mode.
        NEW_GROUP_MODE = 33,
    }

    /// Domain of interpretation, RFC 2407 section 2.
    DomainOfInterpretation(u32) {
        /// Generic ISAKMP.
        ISAKMP = 0,
        /// IPsec.
        IPSEC = 1,
    }

    /// Situation bits of the IPsec DOI, RFC 2407 section 4.2.
    Situation(u32) {
        /// SIT_IDENTITY_ONLY.
        IDENTITY_ONLY = 1,
        /// SIT_SECRECY.
        SECRECY = 2,
        /// SIT_INTEGRITY.
        INTEGRITY = 4,
    }

    /// IPsec protocol identifier, RFC 2407 section 4.4.1.
    ProtocolId(u8) {
        /// PROTO_ISAKMP.
        ISAKMP = 1,
        /// PROTO_IPSEC_AH.
        AH = 2,
        /// PROTO_IPSEC_ESP.
        ESP = 3,
        /// PROTO_IPCOMP.
        IPCOMP = 4,
    }

    /// Transform-Id of an ISAKMP proposal, RFC 2407 section 4.4.2.
    IsakmpTransformId(u8) {
        /// KEY_IKE.
        KEY_IKE = 1,
    }

    /// Transform-Id of an ESP proposal, RFC 2407 section 4.4.4 and later RFCs.
    EspTransformId(u8) {
        /// ESP_DES.
        DES = 2,
        /// ESP_3DES.
        TRIPLE_DES = 3,
        /// ESP_NULL.
        NULL = 11,
        /// ESP_AES-CBC, RFC 3602.
        AES_CBC = 12,
        /// ESP_AES-CTR, RFC 3686.
        AES_CTR = 13,
        /// ESP_AES-CCM_8, RFC 4309.
        AES_CCM_8 = 14,
        /// ESP_AES-CCM_12, RFC 4309.
        AES_CCM_12 = 15,
        /// ESP_AES-CCM_16, RFC 4309.
        AES_CCM_16 = 16,
        /// ESP_AES-GCM_8, RFC 4106.
        AES_GCM_8 = 18,
        /// ESP_AES-GCM_12, RFC 4106.
        AES_GCM_12 = 19,
        /// ESP_AES-GCM_16, RFC 4106.
        AES_GCM_16 = 20,
        /// ESP_NULL_AUTH_AES-GMAC, RFC 4543.
        NULL_AES_GMAC = 23,
    }

    /// Attribute class of a phase 1 transform, RFC 2409 appendix A.
    IkeAttribute(u16) {
        /// Encryption Algorithm.
        ENCRYPTION_ALGORITHM = 1,
        /// Hash Algorithm.
        HASH_ALGORITHM = 2,
        /// Authentication Method.
        AUTHENTICATION_METHOD = 3,
        /// Group Description.
        GROUP_DESCRIPTION = 4,
        /// Group Type.
        GROUP_TYPE = 5,
        /// Group Prime or Irreducible Polynomial.
        GROUP_PRIME = 6,
        /// Group Generator One.
        GROUP_GENERATOR_ONE = 7,
        /// Group Generator Two.
        GROUP_GENERATOR_TWO = 8,
        /// Group Curve A.
        GROUP_CURVE_A = 9,
        /// Group Curve B.
        GROUP_CURVE_B = 10,
        /// Life Type.
        LIFE_TYPE = 11,
        /// Life Duration.
        LIFE_DURATION = 12,
        /// PRF.
        PRF = 13,
        /// Key Length, in bits.
        KEY_LENGTH = 14,
        /// Field Size.
        FIELD_SIZE = 15,
        /// Group Order.
        GROUP_ORDER = 16,
    }

    /// Attribute class of a phase 2 transform, RFC 2407 section 4.5.
    IpsecAttribute(u16) {
        /// SA Life Type.
        LIFE_TYPE = 1,
        /// SA Life Duration.
        LIFE_DURATION = 2,
        /// Group Description.
        GROUP_DESCRIPTION = 3,
        /// Encapsulation Mode.
        ENCAPSULATION_MODE = 4,
        /// Authentication Algorithm.
        AUTHENTICATION_ALGORITHM = 5,
        /// Key Length, in bits.
        KEY_LENGTH = 6,
        /// Key Rounds.
        KEY_ROUNDS = 7,
        /// Compress Dictionary Size.
        COMPRESS_DICTIONARY_SIZE = 8,
        /// Compress Private Algorithm.
        COMPRESS_PRIVATE_ALGORITHM = 9,
        /// ECN Tunnel, RFC 3168.
        ECN_TUNNEL = 10,
        /// Extended (64-bit) Sequence Number, RFC 4304.
        EXTENDED_SEQUENCE_NUMBER = 11,
    }

    /// Encryption Algorithm of phase 1, RFC 2409 appendix A.
    EncryptionAlgorithm(u16) {
        /// DES-CBC.
        DES_CBC = 1,
        /// IDEA-CBC.
        IDEA_CBC = 2,
        /// Blowfish-CBC.
        BLOWFISH_CBC = 3,
        /// RC5-R16-B64-CBC.
        RC5_CBC = 4,
        /// 3DES-CBC.
        TRIPLE_DES_CBC = 5,
        /// CAST-CBC.
        CAST_CBC = 6,
        /// AES-CBC, RFC 3602.
        AES_CBC = 7,
        /// Camellia-CBC, RFC 4312.
        CAMELLIA_CBC = 8,
    }

    /// Hash Algorithm of phase 1, RFC 2409 appendix A.
    HashAlgorithm(u16) {
        /// MD5.
        MD5 = 1,
        /// SHA-1.
        SHA1 = 2,
        /// Tiger.
        TIGER = 3,
        /// SHA2-256, RFC 4868.
        SHA2_256 = 4,
        /// SHA2-384, RFC 4868.
        SHA2_384 = 5,
        /// SHA2-512, RFC 4868.
        SHA2_512 = 6,
    }

    /// Authentication Method of phase 1, RFC 2409 appendix A.
    AuthenticationMethod(u16) {
        /// Pre-shared key.
        PRE_SHARED_KEY = 1,
        /// DSS signatures.
        DSS_SIGNATURES = 2,
        /// RSA signatures.
        RSA_SIGNATURES = 3,
        /// Encryption with RSA.
        RSA_ENCRYPTION = 4,
        /// Revised encryption with RSA.
        RSA_REVISED_ENCRYPTION = 5,
        /// Hybrid, initiator, RSA (draft-ietf-ipsec-isakmp-hybrid-auth).
        HYBRID_INITIATOR_RSA = 64221,
        /// XAUTH, the initiator authenticates itself, pre-shared key (draft-beaulieu-ike-xauth).
        XAUTH_INITIATOR_PRE_SHARED_KEY = 65001,
        /// XAUTH, the responder authenticates itself, pre-shared key.
        XAUTH_RESPONDER_PRE_SHARED_KEY = 65002,
    }

    /// Group Description, RFC 2409 section 6 and the IANA registry.
    GroupNumber(u16) {
        /// 768-bit MODP, RFC 2409 section 6.1.
        MODP_768 = 1,
        /// 1024-bit MODP, RFC 2409 section 6.2.
        MODP_1024 = 2,
        /// 1536-bit MODP, RFC 3526 section 2.
        MODP_1536 = 5,
        /// 2048-bit MODP, RFC 3526 section 3.
        MODP_2048 = 14,
        /// 3072-bit MODP, RFC 3526 section 4.
        MODP_3072 = 15,
        /// 4096-bit MODP, RFC 3526 section 5.
        MODP_4096 = 16,
        /// 6144-bit MODP, RFC 3526 section 6.
        MODP_6144 = 17,
        /// 8192-bit MODP, RFC 3526 section 7.
        MODP_8192 = 18,
        /// 256-bit random ECP group: P-256, RFC 5903 section 3.1.
        ECP_256 = 19,
        /// 384-bit random ECP group: P-384, RFC 5903 section 3.2.
        ECP_384 = 20,
        /// 521-bit random ECP group: P-521, RFC 5903 section 3.3.
        ECP_521 = 21,
        /// Curve25519: IKEv2's number (RFC 8031), which peers negotiate in IKEv1 too.
        CURVE25519 = 31,
    }

    /// Life Type, RFC 2409 appendix A and RFC 2407 section 4.5: the same numbers in both phases.
    LifeType(u16) {
        /// The duration counts seconds.
        SECONDS = 1,
        /// The duration counts kilobytes.
        KILOBYTES = 2,
    }

    /// Encapsulation Mode, RFC 2407 section 4.5 and RFC 3947 section 5.1.
    EncapsulationMode(u16) {
        /// Tunnel.
        TUNNEL = 1,
        /// Transport.
        TRANSPORT = 2,
        /// UDP-Encapsulated-Tunnel.
        UDP_TUNNEL = 3,
        /// UDP-Encapsulated-Transport.
        UDP_TRANSPORT = 4,
        /// UDP-Encapsulated-Tunnel in the drafts of what became RFC 3947.
        UDP_TUNNEL_DRAFT = 61443,
        /// UDP-Encapsulated-Transport in the drafts of what became RFC 3947.
        UDP_TRANSPORT_DRAFT = 61444,
    }

    /// Authentication Algorithm of phase 2, RFC 2407 section 4.5 and RFC 4868.
    AuthenticationAlgorithm(u16) {
        /// HMAC-MD5.
        HMAC_MD5 = 1,
        /// HMAC-SHA.
        HMAC_SHA1 = 2,
        /// DES-MAC.
        DES_MAC = 3,
        /// KPDK.
        KPDK = 4,
        /// HMAC-SHA2-256.
        HMAC_SHA2_256 = 5,
        /// HMAC-SHA2-384.
        HMAC_SHA2_384 = 6,
        /// HMAC-SHA2-512.
        HMAC_SHA2_512 = 7,
        /// HMAC-RIPEMD.
        HMAC_RIPEMD = 8,
        /// AES-XCBC-MAC.
        AES_XCBC_MAC = 9,
    }

    /// Type of an Attributes payload, draft-dukes-ike-mode-cfg-02 section 3.2.
    ConfigurationType(u8) {
        /// ISAKMP_CFG_REQUEST.
        REQUEST = 1,
        /// ISAKMP_CFG_REPLY.
        REPLY = 2,
        /// ISAKMP_CFG_SET.
        SET = 3,
        /// ISAKMP_CFG_ACK.
        ACK = 4,
    }

    /// Identification Type, RFC 2407 section 4.6.2.1.
    IdentificationType(u8) {
        /// ID_IPV4_ADDR.
        IPV4_ADDR = 1,
        /// ID_FQDN.
        FQDN = 2,
        /// ID_USER_FQDN.
        USER_FQDN = 3,
        /// ID_IPV4_ADDR_SUBNET.
        IPV4_ADDR_SUBNET = 4,
        /// ID_IPV6_ADDR.
        IPV6_ADDR = 5,
        /// ID_IPV6_ADDR_SUBNET.
        IPV6_ADDR_SUBNET = 6,
        /// ID_IPV4_ADDR_RANGE.
        IPV4_ADDR_RANGE = 7,
        /// ID_IPV6_ADDR_RANGE.
        IPV6_ADDR_RANGE = 8,
        /// ID_DER_ASN1_DN.
        DER_ASN1_DN = 9,
        /// ID_DER_ASN1_GN.
        DER_ASN1_GN = 10,
        /// ID_KEY_ID.
        KEY_ID = 11,
    }

    /// Notify Message Type, RFC 2408 section 3.14.1, RFC 2407 section 4.6.3 and RFC 3706 section 5.4.
    NotifyType(u16) {
        /// INVALID-PAYLOAD-TYPE.
        INVALID_PAYLOAD_TYPE = 1,
        /// DOI-NOT-SUPPORTED.
        DOI_NOT_SUPPORTED = 2,
        /// SITUATION-NOT-SUPPORTED.
        SITUATION_NOT_SUPPORTED = 3,
        /// INVALID-COOKIE.
        INVALID_COOKIE = 4,
        /// INVALID-MAJOR-VERSION.
        INVALID_MAJOR_VERSION = 5,
        /// INVALID-MINOR-VERSION.
        INVALID_MINOR_VERSION = 6,
        /// INVALID-EXCHANGE-TYPE.
        INVALID_EXCHANGE_TYPE = 7,
        /// INVALID-FLAGS.
        INVALID_FLAGS = 8,
        /// INVALID-MESSAGE-ID.
        INVALID_MESSAGE_ID = 9,
        /// INVALID-PROTOCOL-ID.
        INVALID_PROTOCOL_ID = 10,
        /// INVALID-SPI.
        INVALID_SPI = 11,
        /// INVALID-TRANSFORM-ID.
        INVALID_TRANSFORM_ID = 12,
        /// ATTRIBUTES-NOT-SUPPORTED.
        ATTRIBUTES_NOT_SUPPORTED = 13,
        /// NO-PROPOSAL-CHOSEN.
        NO_PROPOSAL_CHOSEN = 14,
        /// BAD-PROPOSAL-SYNTAX.
        BAD_PROPOSAL_SYNTAX = 15,
        /// PAYLOAD-MALFORMED.
        PAYLOAD_MALFORMED = 16,
        /// INVALID-KEY-INFORMATION.
        INVALID_KEY_INFORMATION = 17,
        /// INVALID-ID-INFORMATION.
        INVALID_ID_INFORMATION = 18,
        /// INVALID-CERT-ENCODING.
        INVALID_CERT_ENCODING = 19,
        /// INVALID-CERTIFICATE.
        INVALID_CERTIFICATE = 20,
        /// CERT-TYPE-UNSUPPORTED.
        CERT_TYPE_UNSUPPORTED = 21,
        /// INVALID-CERT-AUTHORITY.
        INVALID_CERT_AUTHORITY = 22,
        /// INVALID-HASH-INFORMATION.
        INVALID_HASH_INFORMATION = 23,
        /// AUTHENTICATION-FAILED.
        AUTHENTICATION_FAILED = 24,
        /// INVALID-SIGNATURE.
        INVALID_SIGNATURE = 25,
        /// ADDRESS-NOTIFICATION.
        ADDRESS_NOTIFICATION = 26,
        /// NOTIFY-SA-LIFETIME.
        NOTIFY_SA_LIFETIME = 27,
        /// CERTIFICATE-UNAVAILABLE.
        CERTIFICATE_UNAVAILABLE = 28,
        /// UNSUPPORTED-EXCHANGE-TYPE.
        UNSUPPORTED_EXCHANGE_TYPE = 29,
        /// UNEQUAL-PAYLOAD-LENGTHS.
        UNEQUAL_PAYLOAD_LENGTHS = 30,
        /// CONNECTED.
        CONNECTED = 16384,
        /// RESPONDER-LIFETIME.
        RESPONDER_LIFETIME = 24576,
        /// REPLAY-STATUS.
        REPLAY_STATUS = 24577,
        /// INITIAL-CONTACT.
        INITIAL_CONTACT = 24578,
        /// R-U-THERE.
        R_U_THERE = 36136,
        /// R-U-THERE-ACK.
        R_U_THERE_ACK = 36137,
        /// In message 2: when the responder has time for message 3. Ours alone, in the range for private use.
        SLOT = 38117,
    }
}

impl NotifyType {
    /// Whether the number is in the range of errors, RFC 2408 section 3.14.1.
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_name_or_else_the_number() {
        assert_eq!(format!("{:?}", PayloadType::NAT_D), "NAT_D");
        assert_eq!(format!("{:?}", PayloadType(200)), "PayloadType(200)");
        assert_eq!(GroupNumber::CURVE25519.to_string(), "CURVE25519");
    }

    #[test]
    fn notify_errors_end_below_connected() {
        assert!(NotifyType(16383).is_error());
        assert!(!NotifyType::CONNECTED.is_error());
    }
}

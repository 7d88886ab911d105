//! Helpers for the one writer there is, `Vec<u8>`.

/// Appends `body` behind a generic payload header without a next payload, RFC 2408 section 3.2.
pub(crate) fn push_generic(out: &mut Vec<u8>, body: &[u8]) {
    push_generic_parts(out, [body]);
}

/// The same for a body in parts.
pub(crate) fn push_generic_parts<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&length_field(len + 4).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Writes one octet at `offset`, which the caller wrote before.
pub(crate) fn patch(out: &mut [u8], offset: usize, value: u8) {
    if let Some(octet) = out.get_mut(offset) {
        *octet = value;
    }
}

/// A length as the two octets on the wire have it.
///
/// The configuration bounds everything that this crate encodes far below the limit. Were it ever
/// passed, the saturated field would make the peer refuse the message, and nothing worse.
pub(crate) fn length_field(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// A count as the one octet on the wire has it; saturates for the same reason.
pub(crate) fn count_field(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

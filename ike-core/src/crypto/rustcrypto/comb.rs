//! Powers of a fixed base with a secret exponent, by the comb method of Lim and Lee: about a third
//! of the multiplications that an arbitrary base costs.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, CtAssign as _, CtEq as _};
use zeroize::Zeroizing;

/// Rows into which the bits of an exponent are laid.
const ROWS: usize = 4;

/// Products of the base's powers at the rows' first bits, one for each choice of rows.
pub(super) struct Comb {
    parameters: BoxedMontyParams,
    /// Bits of a row.
    columns: usize,
    /// In Montgomery form. Invariant: `2 ^ ROWS` of them.
    products: Vec<BoxedUint>,
}

impl Comb {
    /// Prepares for exponents of up to `exponent_len` octets.
    pub(super) fn new(parameters: &BoxedMontyParams, base: BoxedUint, exponent_len: usize) -> Self {
        let columns = (exponent_len * 8).div_ceil(ROWS);
        let mut products = vec![BoxedMontyForm::one(parameters)];
        let mut base = BoxedMontyForm::new(base, parameters);
        for _ in 0..ROWS {
            let with_row: Vec<_> = products.iter().map(|product| product.mul(&base)).collect();
            products.extend(with_row);
            for _ in 0..columns {
                base = base.square();
            }
        }
        let products = products.iter().map(BoxedMontyForm::to_montgomery).collect();
        Self {
            parameters: parameters.clone(),
            columns,
            products,
        }
    }

    /// The base to the power of a big-endian exponent.
    ///
    /// Time and memory accesses depend on the length of the exponent only: every product is read
    /// for every column, and the wanted one is kept by masking.
    pub(super) fn power(&self, exponent: &[u8]) -> Zeroizing<BoxedMontyForm> {
        let mut power = Zeroizing::new(BoxedMontyForm::one(&self.parameters));
        for column in (0..self.columns).rev() {
            let product = Zeroizing::new(self.product(rows_at(exponent, column, self.columns)));
            power = Zeroizing::new(power.square());
            power = Zeroizing::new(power.mul(&product));
        }
        power
    }

    /// The product of the rows whose bits are set in `rows`.
    fn product(&self, rows: u8) -> BoxedMontyForm {
        let mut selected = BoxedUint::zero_with_precision(self.parameters.bits_precision());
        for (index, product) in (0_u8..).zip(&self.products) {
            selected.ct_assign(product, index.ct_eq(&rows));
        }
        BoxedMontyForm::from_montgomery(selected, &self.parameters)
    }
}

/// The bits of all rows at one column, the first row's lowest.
fn rows_at(exponent: &[u8], column: usize, columns: usize) -> u8 {
    (0..ROWS).rev().fold(0, |rows, row| {
        let position = row * columns + column;
        let octet = exponent
            .iter()
            .rev()
            .nth(position / 8)
            .copied()
            .unwrap_or(0);
        rows << 1 | (octet >> (position % 8) & 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::rustcrypto::modp_primes;

    fn parameters() -> BoxedMontyParams {
        BoxedMontyParams::new_vartime(modp_primes::MODP_2048.into())
    }

    #[test]
    fn rows_are_read_from_the_lowest_bit() {
        // Sixteen bits in four rows of four columns: 0xf000 is the last row.
        assert_eq!(rows_at(&[0xf0, 0x00], 0, 4), 0b1000);
        assert_eq!(rows_at(&[0x00, 0x0f], 3, 4), 0b0001);
        assert_eq!(rows_at(&[0x84, 0x21], 0, 4), 0b0001);
        assert_eq!(rows_at(&[0x84, 0x21], 3, 4), 0b1000);
        assert_eq!(rows_at(&[0xff, 0xff], 2, 4), 0b1111);
    }

    #[test]
    fn powers_are_those_of_plain_exponentiation() {
        let parameters = parameters();
        let seven = BoxedUint::from_be_slice_truncated(&[7], parameters.bits_precision());
        let plain = BoxedMontyForm::new(seven.clone(), &parameters);
        // Lengths whose bits do not fill the rows as well.
        for len in [1, 2, 3, 32, 33, 38] {
            let comb = Comb::new(&parameters, seven.clone(), len);
            for octet in [0x00_u8, 0x01, 0x80, 0xa5, 0xff] {
                let mut exponent = vec![octet; len];
                exponent[0] = exponent[0].wrapping_add(1);
                let bits = u32::try_from(8 * len).unwrap();
                let expected = plain.pow(&BoxedUint::from_be_slice_truncated(&exponent, bits));
                assert_eq!(comb.power(&exponent).retrieve(), expected.retrieve());
            }
        }
    }
}

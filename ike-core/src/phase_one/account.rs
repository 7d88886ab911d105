//! What an address that has not proved itself may be sent, so that nobody can be flooded in its name.

/// Octets received from an address and not answered yet.
///
/// Nothing is sent that was not paid for by what came in, apart from one message 2, which may be longer than the message 1
/// that asked for it. Once somebody at the address has proved to be there, nothing is counted any more.
#[derive(Debug, Default)]
pub(crate) struct Account {
    credit: usize,
    /// What the one message 2 was longer, and is still to be paid for.
    debt: usize,
    overdrawn: bool,
    proven: bool,
}

impl Account {
    /// Counts what has come in.
    pub(crate) fn received(&mut self, len: usize) {
        let paid = self.debt.min(len);
        self.debt -= paid;
        self.credit = self.credit.saturating_add(len - paid);
    }

    /// Whether so many octets may be sent.
    pub(crate) fn may_pay(&self, len: usize) -> bool {
        self.proven || len <= self.credit || !self.overdrawn
    }

    /// Takes the price of what is to be sent. `false` if it may not.
    pub(crate) fn pay(&mut self, len: usize) -> bool {
        if !self.may_pay(len) {
            return false;
        }
        if !self.proven && self.credit < len {
            self.overdrawn = true;
            self.debt = self.debt.saturating_add(len - self.credit);
        }
        self.credit = self.credit.saturating_sub(len);
        true
    }

    /// Somebody there has answered.
    pub(crate) fn prove(&mut self) {
        self.proven = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_may_be_longer_and_is_paid_for_by_what_comes_later() {
        let mut account = Account::default();
        account.received(100);
        assert!(account.pay(150));
        account.received(100);
        assert!(!account.pay(150), "50 are owed for the first");
        account.received(100);
        assert!(account.pay(150));
        assert!(!account.pay(1));
    }

    #[test]
    fn a_proven_address_is_not_counted() {
        let mut account = Account::default();
        assert!(account.pay(10) && !account.pay(10));
        account.prove();
        assert!(account.pay(10_000) && account.pay(10_000));
    }
}

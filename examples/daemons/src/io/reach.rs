//! Which remote subnets can be reached, where several pairs may lead to the same one.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

/// The pairs that are proved up, by the remote subnet that they lead to.
#[derive(Debug, Default)]
pub(super) struct Reach(BTreeMap<IpNet, BTreeSet<IpNet>>);

impl Reach {
    /// The pair of these subnets is up; whether it is the first to its remote subnet.
    pub(super) fn prove(&mut self, local: IpNet, remote: IpNet) -> bool {
        let locals = self.0.entry(remote).or_default();
        locals.insert(local) && locals.len() == 1
    }

    /// The pair of these subnets is down; whether it was the last to its remote subnet.
    pub(super) fn disprove(&mut self, local: IpNet, remote: IpNet) -> bool {
        let Some(locals) = self.0.get_mut(&remote) else {
            return false;
        };
        locals.remove(&local);
        let last = locals.is_empty();
        if last {
            self.0.remove(&remote);
        }
        last
    }

    /// Nothing leads there any longer.
    pub(super) fn forget(&mut self, remote: IpNet) {
        self.0.remove(&remote);
    }

    /// Whether any pair leads there.
    pub(super) fn contains(&self, remote: IpNet) -> bool {
        self.0.contains_key(&remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_is_reached_as_long_as_one_of_its_pairs_is_up() {
        let (first, second) = (net("10.61.3.0/24"), net("10.61.253.0/24"));
        let remote = net("10.61.1.0/24");
        let mut reach = Reach::default();
        assert!(reach.prove(first, remote));
        assert!(!reach.prove(second, remote));
        assert!(!reach.prove(second, remote), "told twice counts once");
        assert!(!reach.disprove(second, remote));
        assert!(reach.contains(remote));
        assert!(reach.disprove(first, remote));
        assert!(!reach.contains(remote));
        assert!(!reach.disprove(first, remote), "gone is gone");
        assert!(reach.prove(second, remote));
    }
}

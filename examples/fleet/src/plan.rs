//! Who has which addresses: up to 100,000 branches without overlap.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use trigger::Subnet;

/// Pairs of each branch: two subnets on each side, three flows, as in the scenario.
pub const PAIRS: usize = 3;

/// Most branches that the addresses suffice for.
const MOST_BRANCHES: u32 = 100_000;

/// First of the branches' first subnets, /28 each.
const FIRST_SUBNETS: u32 = 0x0A80_0000;
/// First of the branches' second subnets, /30 each.
const SECOND_SUBNETS: u32 = 0xAC10_0000;
/// First of the branches' outer addresses.
const OUTER: u32 = 0xC612_0001;

/// The addresses of one branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    index: u32,
}

/// One pair of one branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PairPlan {
    /// Its name.
    pub name: &'static str,
    /// The branch's subnet.
    pub branch_subnet: Subnet,
    /// The hub's subnet.
    pub hub_subnet: Subnet,
    /// Where the branch's probe comes from.
    pub source: IpAddr,
    /// The hub's private address, which the probe goes to and reads come from.
    pub target: IpAddr,
    /// The data service behind the branch.
    pub service: IpAddr,
}

impl Plan {
    /// The addresses of a branch by its number.
    ///
    /// # Errors
    ///
    /// If there are not that many.
    pub fn new(index: u32) -> Result<Self> {
        ensure!(index < MOST_BRANCHES, "at most {MOST_BRANCHES} branches");
        Ok(Self { index })
    }

    /// The outer address of a hub.
    #[must_use]
    pub fn hub(number: u8) -> IpAddr {
        IpAddr::from([198, 19, 255, 1 + number])
    }

    /// The hub's private addresses: those that probes go to.
    #[must_use]
    pub fn targets() -> [IpAddr; 2] {
        [
            IpAddr::from([10, 61, 3, 26]),
            IpAddr::from([192, 168, 61, 1]),
        ]
    }

    /// The name that the branch presents.
    #[must_use]
    pub fn identity(self) -> String {
        format!("branch{}", self.index)
    }

    /// The branch's outer address, or that of the NAT box in front of it.
    #[must_use]
    pub fn outer(self) -> IpAddr {
        address(OUTER + self.index)
    }

    /// Another outer address of the branch, after a change of line.
    #[must_use]
    pub fn other_outer(self) -> IpAddr {
        address(OUTER + MOST_BRANCHES / 2 + self.index)
    }

    /// The branch's address behind a NAT box.
    #[must_use]
    pub fn private() -> IpAddr {
        IpAddr::from([192, 168, 0, 2])
    }

    /// The branch's pairs.
    ///
    /// # Errors
    ///
    /// If there are no such subnets.
    pub fn pairs(self) -> Result<[PairPlan; PAIRS]> {
        let first = FIRST_SUBNETS + 16 * self.index;
        let second = SECOND_SUBNETS + 4 * self.index;
        let [telemetry, cameras] = Self::targets();
        let hub_telemetry = Subnet::new(IpAddr::from([10, 61, 3, 0]), 24).context("hub subnet")?;
        let hub_cameras = Subnet::new(IpAddr::from([192, 168, 61, 0]), 24).context("hub subnet")?;
        let pair = |name, base, prefix_len, service, hub_subnet, target| -> Result<PairPlan> {
            Ok(PairPlan {
                name,
                branch_subnet: Subnet::new(address(base), prefix_len).context("branch subnet")?,
                hub_subnet,
                source: address(base + 1),
                target,
                service: address(base + service),
            })
        };
        Ok([
            pair("telemetry", first, 28, 10, hub_telemetry, telemetry)?,
            pair("cameras", second, 30, 2, hub_cameras, cameras)?,
            pair("archive", second, 30, 2, hub_telemetry, telemetry)?,
        ])
    }
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_branches_share_a_subnet_or_an_outer_address() {
        let plans: Vec<Plan> = [0, 1, 2, 49_999]
            .into_iter()
            .map(|index| Plan::new(index).unwrap())
            .collect();
        for (number, first) in plans.iter().enumerate() {
            for second in &plans[..number] {
                assert_ne!(first.outer(), second.outer());
                assert_ne!(first.other_outer(), second.outer());
                for (a, b) in first.pairs().unwrap().iter().zip(second.pairs().unwrap()) {
                    assert!(!a.branch_subnet.overlaps(&b.branch_subnet));
                }
            }
        }
        assert!(Plan::new(MOST_BRANCHES - 1).unwrap().pairs().is_ok());
        assert!(Plan::new(MOST_BRANCHES).is_err());
    }

    #[test]
    fn probes_and_services_lie_within_their_pairs() {
        for pair in Plan::new(77).unwrap().pairs().unwrap() {
            assert!(
                pair.branch_subnet.contains(pair.source)
                    && pair.branch_subnet.contains(pair.service)
            );
            assert!(pair.hub_subnet.contains(pair.target));
        }
    }
}

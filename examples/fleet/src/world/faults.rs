//! What happens to branches, hubs and the ways between them.

use std::net::IpAddr;

use anyhow::Result;
use sim::{Nat, Verdict};
use trigger::ntp_core::NtpTimestamp;

use super::{Member, WALL_SECONDS, World};

impl World {
    /// A branch's link comes up with the address it has.
    pub fn link_up(&mut self, index: usize) {
        let address = self.branches[index].address;
        self.link_up_at(index, address);
    }

    /// A branch's link comes up with an address.
    pub fn link_up_at(&mut self, index: usize, address: IpAddr) {
        self.network.act(self.branches[index].host, |site, now| {
            if let Some(branch) = site.branch_mut() {
                branch.handle_link_up(now, address);
            }
        });
    }

    /// A branch's link goes down.
    pub fn link_down(&mut self, index: usize) {
        let host = self.branches[index].host;
        self.network.isolate(host);
        self.network.act(host, |site, now| {
            if let Some(branch) = site.branch_mut() {
                branch.handle_link_down(now);
            }
        });
    }

    /// A branch's cable is in again, and its link comes up with another address.
    ///
    /// # Errors
    ///
    /// If there is no such address.
    pub fn link_up_elsewhere(&mut self, index: usize) -> Result<()> {
        let Member {
            plan, host, nat, ..
        } = self.branches[index];
        let outer = plan.other_outer();
        let address = match nat {
            Some(_) => {
                let other = self.network.add_nat(outer, Nat::default());
                let private = IpAddr::from([192, 168, 7, 9]);
                self.network.move_host(host, Some(other), private);
                self.branches[index].nat = Some(other);
                private
            }
            None => {
                self.network.change_address(host, outer);
                outer
            }
        };
        self.branches[index].address = address;
        self.network.rejoin(host);
        self.link_up_at(index, address);
        Ok(())
    }

    /// A branch is without power.
    pub fn branch_off(&mut self, index: usize) {
        drop(self.network.switch_off(self.branches[index].host));
    }

    /// A branch has power again and remembers nothing. Its link comes up, its path not yet.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn branch_on_without_path(&mut self, index: usize) -> Result<()> {
        self.network.isolate(self.branches[index].host);
        self.branch_on(index)
    }

    /// A branch has power again, remembers nothing, and its link comes up.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn branch_on(&mut self, index: usize) -> Result<()> {
        let machine = self.branch_machine(self.branches[index].plan)?;
        self.network.switch_on(self.branches[index].host, machine);
        self.link_up(index);
        Ok(())
    }

    /// A hub is without power.
    pub fn hub_off(&mut self, number: usize) {
        self.absorb();
        drop(self.network.switch_off(self.hubs[number]));
    }

    /// A hub has power again; of its former life it has the roll, or nothing.
    ///
    /// # Errors
    ///
    /// If the settings cannot be used.
    pub fn hub_on(&mut self, number: usize, keeps_roll: bool) -> Result<()> {
        let roll = if keeps_roll {
            self.roll.values().cloned().collect()
        } else {
            Vec::new()
        };
        let machine = self.hub_machine(roll)?;
        self.network.switch_on(self.hubs[number], machine);
        Ok(())
    }

    /// A branch's wall clock steps.
    pub fn step_clock(&mut self, index: usize, years: i64) {
        let stepped = NtpTimestamp::from_unix(WALL_SECONDS + years * 31_557_600, 0);
        self.network.act(self.branches[index].host, |site, now| {
            if let Some(branch) = site.branch_mut() {
                branch.handle_wall_clock(now, stepped);
            }
        });
    }

    /// Everything under the newest SA of a pair is lost from now on, towards the hub or from it. False if there is none.
    pub fn black_hole(&mut self, index: usize, pair: u32, towards_hub: bool) -> bool {
        let (branch, hub) = (self.branches[index].host, self.hubs[0]);
        let Some((inbound, outbound)) = self.network.host(branch).newest_sa(pair) else {
            return false;
        };
        let (from, to, spi) = if towards_hub {
            (branch, hub, outbound)
        } else {
            (hub, branch, inbound)
        };
        self.network.set_filter(from, to, move |passing| {
            match passing.contents.starts_with(&spi.to_be_bytes()) {
                true => Verdict::Lose,
                false => Verdict::Pass,
            }
        });
        true
    }
}

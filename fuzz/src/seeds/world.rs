//! Tales of one fault each, and some of several.

use super::Seed;

pub(super) fn seeds() -> Vec<Seed> {
    let tale = |name, steps: &[&[u8]]| {
        Seed::new("world", name, [&[0, 0, 1][..], &steps.concat()].concat())
    };
    let behind_nat = |name, steps: &[&[u8]]| {
        Seed::new("world", name, [&[1, 0, 2][..], &steps.concat()].concat())
    };
    let with_two_hubs = |name, how, steps: &[&[u8]]| {
        Seed::new("world", name, [&[how, 0, 3][..], &steps.concat()].concat())
    };
    vec![
        // Away from the first hub, and back.
        with_two_hubs("second_hub", 2, &[&fault(2, 60), &rest(200)]),
        with_two_hubs(
            "second_hub_hot",
            7,
            &[
                &fault(13, 0),
                &fault(2, 60),
                &rest(100),
                &fault(6, 12),
                &rest(200),
            ],
        ),
        tale("quiet", &[&rest(100)]),
        tale("branch_reboot", &[&fault(1, 20), &rest(100)]),
        tale("hub_reboot", &[&fault(2, 20), &rest(100)]),
        tale("hub_reboot_roll_lost", &[&fault(3, 3), &rest(100)]),
        behind_nat("nat_rebinding", &[&fault(4, 0), &rest(100)]),
        behind_nat("nat_flush", &[&fault(13, 0), &fault(5, 0), &rest(100)]),
        tale("outage", &[&fault(6, 300), &rest(100)]),
        behind_nat("outage_with_link_event", &[&fault(7, 300), &rest(100)]),
        behind_nat("address_change", &[&fault(8, 5), &rest(100)]),
        tale(
            "clock_step",
            &[&rest(100), &fault(10, 0), &[200], &rest(10)],
        ),
        // The hub's own traffic keeps coming in while nothing goes out.
        tale(
            "black_hole_under_traffic",
            &[&fault(13, 0), &fault(9, 0), &[0]],
        ),
        behind_nat(
            "bad_link",
            &[
                &fault(14, 0),
                &fault(11, 0),
                &[0xF4],
                &rest(200),
                &fault(12, 0),
                &rest(100),
            ],
        ),
        behind_nat(
            "both_reboot",
            &[
                &fault(1, 5),
                &fault(2, 5),
                &fault(4, 0),
                &rest(100),
                &fault(3, 40),
                &fault(1, 1),
            ],
        ),
    ]
}

/// A step of that code for so many seconds.
fn fault(code: u8, seconds: u16) -> Vec<u8> {
    // The unit is 16 ms.
    let [high, low] = (seconds * 62).to_be_bytes();
    vec![code, high, low]
}

fn rest(seconds: u16) -> Vec<u8> {
    fault(0, seconds)
}

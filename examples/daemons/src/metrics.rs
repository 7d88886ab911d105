//! Prometheus metrics, made from a snapshot; their names are a promise.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{Encoder as _, TextEncoder};

use crate::snapshot::{Counters, Snapshot};
use crate::status::{PairStatus, PeerStatus, Status};
use crate::timings::Distribution;

/// The content type of [`text`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The page at `/metrics`.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    text_of(snapshot.taken, &snapshot.status(), &snapshot.counters)
}

fn text_of(taken: SystemTime, status: &Status<'_>, counters: &Counters) -> String {
    let families = [
        pair_gauge(
            status,
            "vpn_pair_up",
            "Whether a reply has come back through the pair.",
            |pair| Some(flag(pair.state == "up")),
        ),
        pair_gauge(
            status,
            "vpn_pair_sa_up",
            "Whether the pair has an IPsec SA.",
            |pair| Some(flag(pair.sa)),
        ),
        pair_gauge(
            status,
            "vpn_pair_last_proof_timestamp_seconds",
            "When a reply last came back through the pair, 0 if never.",
            |pair| {
                Some(
                    pair.last_proof_seconds
                        .map_or(0.0, |age| last_proof(taken, age)),
                )
            },
        ),
        pair_gauge(
            status,
            "vpn_pair_rtt_seconds",
            "Latest time there and back through the pair.",
            |pair| pair.rtt_ms.map(|rtt| rtt / 1000.0),
        ),
        pair_bytes(status),
        negotiations(counters),
        drops(counters),
        hook_runs(counters),
        legacy(status),
        handshakes(counters),
        reachability(counters),
    ];
    let mut out = Vec::new();
    // Only a family without any sample is refused; it is left out.
    let families: Vec<_> = families
        .into_iter()
        .filter(|family| !family.get_metric().is_empty())
        .collect();
    match TextEncoder::new().encode(&families, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => format!("# cannot write the metrics: {error}\n"),
    }
}

fn pair_gauge(
    status: &Status<'_>,
    name: &str,
    help: &str,
    value: impl Fn(&PairStatus<'_>) -> Option<f64>,
) -> MetricFamily {
    let metrics = pairs(status).filter_map(|(peer, pair)| {
        let labels = [("peer", &*peer.identity), ("pair", &*pair.name)];
        Some(gauge(&labels, value(pair)?))
    });
    family(name, help, MetricType::GAUGE, metrics.collect())
}

fn pair_bytes(status: &Status<'_>) -> MetricFamily {
    let metrics = pairs(status).flat_map(|(peer, pair)| {
        [("in", pair.bytes_in), ("out", pair.bytes_out)].map(|(direction, octets)| {
            counter(
                &[
                    ("peer", &peer.identity),
                    ("pair", &pair.name),
                    ("direction", direction),
                ],
                octets,
            )
        })
    });
    let help = "Octets of inner packets through the pair.";
    family(
        "vpn_pair_bytes_total",
        help,
        MetricType::COUNTER,
        metrics.collect(),
    )
}

fn negotiations(counters: &Counters) -> MetricFamily {
    let metrics = counters.negotiations().into_iter();
    let metrics = metrics
        .map(|(phase, result, count)| counter(&[("phase", phase), ("result", result)], count));
    family(
        "vpn_negotiations_total",
        "Negotiations that have ended.",
        MetricType::COUNTER,
        metrics.collect(),
    )
}

fn drops(counters: &Counters) -> MetricFamily {
    let metrics = counters.drops().into_iter();
    let metrics = metrics.map(|(reason, count)| counter(&[("reason", &reason)], count));
    family(
        "vpn_drops_total",
        "Packets and datagrams dropped.",
        MetricType::COUNTER,
        metrics.collect(),
    )
}

fn hook_runs(counters: &Counters) -> MetricFamily {
    let metrics = counters
        .hook_runs
        .iter()
        .map(|(result, count)| counter(&[("result", result)], *count));
    let help = "Events given to the hook's program, by what came of it.";
    family(
        "vpn_hook_runs_total",
        help,
        MetricType::COUNTER,
        metrics.collect(),
    )
}

fn legacy(status: &Status<'_>) -> MetricFamily {
    let metrics = status
        .peers
        .iter()
        .map(|peer| gauge(&[("peer", &peer.identity)], flag(peer.legacy)));
    let help = "Whether DES, 3DES, MD5 or a Diffie-Hellman group below 14 is in use.";
    family(
        "vpn_legacy_algorithms",
        help,
        MetricType::GAUGE,
        metrics.collect(),
    )
}

fn handshakes(counters: &Counters) -> MetricFamily {
    let of = &counters.distributions;
    family(
        "vpn_handshake_seconds",
        "How long negotiations took, from the first message, where they succeeded.",
        MetricType::HISTOGRAM,
        vec![
            histogram(&[("phase", "1")], &of.phase_one),
            histogram(&[("phase", "2")], &of.quick_mode),
        ],
    )
}

fn reachability(counters: &Counters) -> MetricFamily {
    family(
        "vpn_time_to_reachability_seconds",
        "How long a pair had been dark, since its daemon began or since it went down, when a reply came back through it.",
        MetricType::HISTOGRAM,
        vec![histogram(&[], &counters.distributions.reachable)],
    )
}

fn pairs<'a>(
    status: &'a Status<'a>,
) -> impl Iterator<Item = (&'a PeerStatus<'a>, &'a PairStatus<'a>)> {
    status
        .peers
        .iter()
        .flat_map(|peer| peer.pairs.iter().map(move |pair| (peer, pair)))
}

fn last_proof(taken: SystemTime, age: f64) -> f64 {
    let since_epoch = taken.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch
        .saturating_sub(Duration::try_from_secs_f64(age).unwrap_or_default())
        .as_secs_f64()
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the text format has no other number than a float"
)]
fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn histogram(labels: &[(&str, &str)], distribution: &Distribution) -> Metric {
    let buckets = distribution.cumulative().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(distribution.count());
    histogram.set_sample_sum(distribution.sum());
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::HookRuns;
    use crate::snapshot::IoDrops;
    use std::collections::BTreeSet;

    fn status() -> Status<'static> {
        let status = r#"{"role":"hub","identity":"hub","uptime_seconds":1.0,"peers":[
            {"identity":"branch \"1\"\\\n","address":null,"nat":false,"ike":"up","legacy":true,"last_failure":null,"pairs":[
                {"name":"a","local":"10.0.0.0/24","remote":"10.0.1.0/24","state":"up","sa":true,"last_proof_seconds":2.0,
                 "rtt_ms":1.5,"path_reach":"377","bytes_in":3,"bytes_out":18446744073709551615,"last_failure":null},
                {"name":"b","local":"10.0.2.0/24","remote":"10.0.1.0/24","state":"unproven","sa":true,"last_proof_seconds":null,
                 "rtt_ms":null,"path_reach":"000","bytes_in":0,"bytes_out":0,"last_failure":null}]}]}"#;
        serde_json::from_str(status).unwrap()
    }

    fn text_at(taken: SystemTime) -> String {
        let counters = Counters {
            io: IoDrops {
                tun_send: 5,
                ..IoDrops::default()
            },
            hook_runs: HookRuns::default().counts(),
            ..Counters::default()
        };
        text_of(taken, &status(), &counters)
    }

    #[test]
    fn every_pair_is_there_under_the_promised_names() {
        let text = text_at(UNIX_EPOCH + Duration::from_secs(1000));
        let peer = r#"peer="branch \"1\"\\\n""#;
        for line in [
            format!("vpn_pair_up{{{peer},pair=\"a\"}} 1"),
            format!("vpn_pair_up{{{peer},pair=\"b\"}} 0"),
            format!("vpn_pair_sa_up{{{peer},pair=\"b\"}} 1"),
            format!("vpn_pair_last_proof_timestamp_seconds{{{peer},pair=\"a\"}} 998"),
            format!("vpn_pair_last_proof_timestamp_seconds{{{peer},pair=\"b\"}} 0"),
            format!("vpn_pair_rtt_seconds{{{peer},pair=\"a\"}} 0.0015"),
            format!("vpn_pair_bytes_total{{{peer},pair=\"a\",direction=\"in\"}} 3"),
            format!("vpn_legacy_algorithms{{{peer}}} 1"),
            "vpn_negotiations_total{phase=\"1\",result=\"success\"} 0".to_owned(),
            "vpn_drops_total{reason=\"tun_send\"} 5".to_owned(),
            "# TYPE vpn_pair_bytes_total counter".to_owned(),
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no {line} in\n{text}"
            );
        }
        assert!(
            !text.contains("vpn_pair_rtt_seconds{peer=\"branch \\\"1\\\"\\\\\\n\",pair=\"b\"}")
        );
    }

    /// Names of our metrics in a text, and values that labels of ours are compared with.
    fn asked_for(text: &str) -> (BTreeSet<&str>, BTreeSet<String>) {
        let of_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let names = text.split(|letter| !of_name(letter));
        let names = names.filter(|word| word.starts_with("vpn_")).collect();
        let mut labels = BTreeSet::new();
        for label in ["phase", "result", "reason", "direction"] {
            // Within JSON quotes have a backslash before them.
            let text = text.replace("\\\"", "\"");
            for operator in ["=", "!=", "=~"] {
                for rest in text.split(&format!("{label}{operator}\"")).skip(1) {
                    let values = rest.split('"').next().unwrap_or_default();
                    labels.extend(
                        values
                            .split('|')
                            .map(|value| format!("{label}=\"{value}\"")),
                    );
                }
            }
        }
        (names, labels)
    }

    #[test]
    fn whatever_dashboard_and_alerts_ask_for_is_there() {
        let page = text_at(UNIX_EPOCH);
        let dashboard = include_str!("../monitoring/dashboard.json");
        let alerts = include_str!("../monitoring/alerts.yml");
        for text in [dashboard, alerts] {
            let (names, labels) = asked_for(text);
            assert!(4 <= names.len() && !labels.is_empty());
            for name in names {
                let sample = page.lines().any(|line| {
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with([' ', '{']))
                });
                assert!(sample, "no {name} in\n{page}");
            }
            for label in labels {
                assert!(page.contains(&label), "no {label} in\n{page}");
            }
        }
    }

    #[test]
    fn a_daemon_without_peers_still_has_a_page() {
        let mut status = status();
        status.peers.clear();
        let text = text_of(UNIX_EPOCH, &status, &Counters::default());
        assert!(text.contains("vpn_drops_total"));
    }
}

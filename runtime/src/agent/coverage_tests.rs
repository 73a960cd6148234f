use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn refuted() -> Result<(), String> {
    Err("not seen".to_owned())
}

/// Sends a probe at `now`, and hears of it.
fn probe(evidence: &mut Evidence, now: u64, outcome: Result<(), String>) {
    evidence.sent(seconds(now));
    evidence.probed(outcome);
}

#[test]
fn nothing_is_covered_before_it_is_proven() {
    let mut evidence = Evidence::default();
    assert!(evidence.gap().expect("a gap").contains("not proven yet"));
    assert!(evidence.is_due(seconds(0)));
    evidence.sent(seconds(0));
    assert!(evidence.gap().is_some(), "a probe on its way proves nothing");
    assert!(!evidence.is_due(seconds(59)), "one at a time");
    assert!(evidence.probed(Ok(())), "that is news");
    assert_eq!(evidence.gap(), None);
}

#[test]
fn one_lost_probe_casts_a_doubt_and_two_refute() {
    let mut evidence = Evidence::default();
    probe(&mut evidence, 0, Ok(()));
    evidence.sent(seconds(60));
    assert!(!evidence.probed(refuted()));
    assert_eq!(evidence.gap(), None);
    assert!(evidence.is_due(seconds(61)), "soon again");
    evidence.sent(seconds(61));
    assert!(evidence.probed(refuted()));
    assert_eq!(evidence.gap().as_deref(), Some("not seen"));
    evidence.sent(seconds(66));
    assert!(evidence.probed(Ok(())));
    assert_eq!(evidence.gap(), None);
}

#[test]
fn what_was_never_proven_is_refuted_at_once() {
    let mut evidence = Evidence::default();
    probe(&mut evidence, 0, refuted());
    assert_eq!(evidence.gap().as_deref(), Some("not seen"));
}

#[test]
fn probes_come_as_often_as_there_is_reason_to() {
    for (what, outcomes, changed, due) in [
        ("proven", vec![Ok(())], false, 60),
        ("proven, and something changed", vec![Ok(())], true, 1),
        ("in doubt", vec![Ok(()), refuted()], false, 1),
        ("refuted", vec![refuted()], false, 5),
        ("refuted, and something changed", vec![refuted()], true, 1),
    ] {
        let mut evidence = Evidence::default();
        for outcome in outcomes {
            probe(&mut evidence, 100, outcome);
        }
        if changed {
            evidence.disturb();
        }
        assert!(!evidence.is_due(seconds(100 + due) - Duration::from_millis(1)), "{what}");
        assert!(evidence.is_due(seconds(100 + due)), "{what}");
    }
}

#[test]
fn a_hook_is_put_first_again_a_few_times_and_then_it_is_told() {
    let other = Other { id: 7, name: "silencer".to_owned() };
    let mut evidence = Evidence::default();
    probe(&mut evidence, 0, Ok(()));
    let behind =
        |evidence: &mut Evidence, now| evidence.is_behind(Hook::FromPod, &other, "veth7", seconds(now));
    for now in [0, 5, 10] {
        assert_eq!(behind(&mut evidence, now), Remedy::PutFirst);
        assert!(evidence.is_due(seconds(now + 1)), "it is proven anew");
        assert_eq!(evidence.gap(), None);
    }
    assert_eq!(behind(&mut evidence, 15), Remedy::GiveUp);
    assert_eq!(behind(&mut evidence, 20), Remedy::Nothing);
    let told = evidence.gap().expect("a gap");
    for word in ["silencer", "id 7", "from_pod", "veth7"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    assert!(!evidence.is_first(Hook::ToPod), "the other hook was never behind");
    assert!(evidence.gap().is_some());
    assert!(evidence.is_first(Hook::FromPod));
    assert_eq!(evidence.gap(), None);
    assert_eq!(behind(&mut evidence, 25), Remedy::GiveUp, "the time is not over");
    assert_eq!(behind(&mut evidence, 600), Remedy::PutFirst, "the first of the three was ten minutes ago");
}

#[test]
fn a_hook_that_was_gone_takes_the_proof_with_it() {
    let mut evidence = Evidence::default();
    probe(&mut evidence, 0, Ok(()));
    evidence.forget();
    assert!(evidence.gap().expect("a gap").contains("not proven yet"));
    assert!(evidence.is_due(seconds(1)));
}

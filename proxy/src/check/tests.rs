use super::*;

fn note(name: &str) -> Vec<Note> {
    vec![(name.to_owned(), "why not".to_owned())]
}

fn nowhere() -> Dialer {
    let endpoint = "redis://127.0.0.1:1".parse().unwrap();
    Dialer { endpoint, tls: None, timeout: Duration::from_secs(1) }
}

#[tokio::test]
async fn server_that_does_not_answer_is_a_blocking_finding() {
    let (checks, desk) = desk(BySide { source: Some(nowhere()), target: Some(nowhere()) }, None);
    let (report, ()) = tokio::join!(
        async {
            let report = checks.run(Vec::new()).await.unwrap();
            assert_eq!((checks.last().map(|last| last.blocking), checks.last()), (Some(2), Some(report.clone())));
            drop(checks);
            report
        },
        desk.keep()
    );
    assert!(report.findings.iter().all(|finding| finding.name == check::UNREACHABLE), "{report:?}");
}

#[tokio::test]
async fn without_a_target_there_is_nothing_to_check() {
    let (_, mut desk) = desk(BySide { source: Some(nowhere()), target: None }, None);
    assert!(matches!(desk.obey(Vec::new()).await, Err(CheckError::NoTarget)));
}

#[test]
fn only_names_of_checks_are_acknowledged() {
    let none = Acknowledgements::default();
    assert!(acknowledge(&none, note("memory")).unwrap().0.contains_key("memory"));
    for name in ["", "no-such-check", check::UNREACHABLE] {
        assert!(matches!(acknowledge(&none, note(name)), Err(CheckError::NoSuchName(_))), "{name}");
    }
}

#[test]
fn what_is_kept_is_read_again_and_nothing_is_made_of_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(kept::read::<Acknowledgements>(dir.path(), FILE), None);
    let kept = acknowledge(&Acknowledgements::default(), note("memory")).unwrap();
    kept::write(dir.path(), FILE, &kept).unwrap();
    assert_eq!(kept::read(dir.path(), FILE), Some(kept));
    std::fs::write(dir.path().join(FILE), "{").unwrap();
    assert_eq!(kept::read::<Acknowledgements>(dir.path(), FILE), None);
}

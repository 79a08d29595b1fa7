use std::fs;

use proptest::prelude::*;
use serde_json::Value;

use super::judgement::Level;
use super::*;
use crate::yaml;

fn reviewed(text: &str, strict: bool) -> Review {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    Review::of(&documents::read(&[file.path().to_owned()]), &Input::default(), strict)
}

fn written(cluster: &Value, as_json: bool) -> String {
    let mut text = Vec::new();
    if as_json {
        serde_json::to_writer_pretty(&mut text, cluster).unwrap();
    } else {
        yaml::write(&[cluster], &mut text).unwrap();
    }
    String::from_utf8(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is wrong is somewhere, and every way of printing can say where.
    #[test]
    fn every_finding_has_a_place(
        cluster in prop_oneof![generators::admissible(), generators::broken()],
        as_json: bool,
        strict: bool,
    ) {
        let text = written(&cluster, as_json);
        let review = reviewed(&text, strict);
        prop_assert_eq!((review.checked, review.unusable), (1, 0));
        let judgement = &review.judgements[0];
        prop_assert_eq!(judgement.valid, judgement.findings().all(|finding| finding.level == Level::Warning));
        for finding in judgement.findings() {
            let span = finding.span.unwrap();
            let line = text.lines().nth(usize::try_from(span.line).unwrap() - 1).unwrap();
            let column = usize::try_from(span.column).unwrap();
            prop_assert!(column <= line.chars().count(), "{} in {line:?}", finding.message);
            let rest: String = line.chars().skip(column - 1).collect();
            prop_assert!(text[span.bytes.start..].starts_with(&rest), "{} in {line:?}", finding.message);
        }
        let mut printed = Vec::new();
        github::print(&review, &mut printed).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        prop_assert_eq!(printed.lines().count(), judgement.findings().count());
        prop_assert!(printed.lines().all(|line| line.starts_with("::error file=") || line.starts_with("::warning file=")));
        let log = serde_json::to_value(sarif::log(&review)).unwrap();
        prop_assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), judgement.findings().count());
        human::print(&review, &mut anstream::StripStream::new(Vec::new())).unwrap();
    }
}

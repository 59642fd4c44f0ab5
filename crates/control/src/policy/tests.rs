use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn resource(path: &str) -> Resource<'_> {
    let (kind, id) = path.split_once('/').unwrap();
    Resource::one("ecd", "cn-hangzhou", "100", kind, id)
}

fn parse(statements: Value) -> Result<Policy, DocumentError> {
    Policy::parse("p", &json!({"Version": "1", "Statement": statements}).to_string())
}

fn decide(statements: Value, action: &str, paths: &[&str]) -> Decision {
    let resources: Vec<Resource<'_>> = paths.iter().map(|path| resource(path)).collect();
    evaluate([&parse(statements).unwrap()], action, &resources)
}

fn denied_by(statement: &str) -> Decision {
    Decision::Denied(Some(StatementRef { policy: "p".to_owned(), statement: statement.to_owned() }))
}

#[test]
fn nothing_is_allowed_that_no_statement_allows_and_a_deny_wins() {
    let policy = json!([
        {"Effect": "Allow", "Action": ["ecd:Describe*", "ecd:Start?esktops"], "Resource": "*"},
        {"Effect": "Allow", "Action": "ecd:DeleteDesktops", "Resource": "acs:ecd:*:100:desktop/ecd-1*"},
        {"Sid": "no", "Effect": "Deny", "Action": "ECD:*", "Resource": "acs:ecd:cn-hangzhou:*:desktop/ecd-13"},
    ]);
    for (action, paths, expect) in [
        ("ecd:DescribeDesktops", &["desktop/"][..], Decision::Allowed),
        ("ecd:startdesktops", &["desktop/ecd-2"], Decision::Allowed),
        ("ecd:StopDesktops", &["desktop/ecd-2"], Decision::Denied(None)),
        ("ecd:DeleteDesktops", &["desktop/ecd-1", "desktop/ecd-12"], Decision::Allowed),
        ("ecd:DeleteDesktops", &["desktop/ecd-1", "desktop/ecd-2"], Decision::Denied(None)),
        ("ecd:DeleteDesktops", &["desktop/ecd-12", "desktop/ecd-13"], denied_by("no")),
        // A deny is named even where something else is not allowed.
        ("ecd:DeleteDesktops", &["desktop/ecd-2", "desktop/ecd-13"], denied_by("no")),
        ("ecd:DescribeDesktops", &["desktop/ecd-13"], denied_by("no")),
        // Without ids it is about all, which only a pattern for all allows.
        ("ecd:DeleteDesktops", &["desktop/"], Decision::Denied(None)),
        ("ecd:DescribeDesktops", &[], Decision::Denied(None)),
    ] {
        assert_eq!(decide(policy.clone(), action, paths), expect, "{action} {paths:?}");
    }
    let all = json!([{"Effect": "Allow", "Action": "*", "Resource": "acs:ecd:*:*:desktop/*"}]);
    assert_eq!(decide(all, "ecd:X", &["desktop/"]), Decision::Allowed);
    let one = json!([{"Effect": "Allow", "Action": "*", "Resource": "acs:ecd:*:*:desktop/?"}]);
    assert_eq!(decide(one, "ecd:X", &["desktop/"]), Decision::Denied(None));
    let but = json!([{"Effect": "Allow", "NotAction": "ecd:Delete*", "Resource": "*"}]);
    assert_eq!(decide(but.clone(), "ecd:DeleteDesktops", &["desktop/a"]), Decision::Denied(None));
    assert_eq!(decide(but, "ecd:StopDesktops", &["desktop/a"]), Decision::Allowed);
    let foreign = json!([{"Effect": "Allow", "Action": "*", "Resource": "acs:ecd:*:200:*"}]);
    assert_eq!(decide(foreign, "ecd:X", &["desktop/a"]), Decision::Denied(None));
    let unnamed = json!([{"Effect": "Deny", "Action": "*", "Resource": "acs:ecd:::*"}]);
    assert_eq!(decide(unnamed, "ecd:X", &["desktop/a"]), denied_by("1"));
}

#[test]
fn what_is_not_understood_is_refused() {
    let allow =
        |action: Value, resource: Value| json!([{"Effect": "Allow", "Action": action, "Resource": resource}]);
    type Is = fn(&DocumentError) -> bool;
    let cases: [(Value, Is); 13] = [
        (json!([]), |e| matches!(e, DocumentError::Statements)),
        (json!(vec![allow(json!("*"), json!("*"))[0].clone(); 101]), |e| {
            matches!(e, DocumentError::Statements)
        }),
        (json!([{"Effect": "allow", "Action": "*", "Resource": "*"}]), |e| {
            matches!(e, DocumentError::Effect(1))
        }),
        (json!([{"Effect": "Allow", "Resource": "*"}]), |e| matches!(e, DocumentError::Action(1))),
        (json!([{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}]), |e| {
            matches!(e, DocumentError::Action(1))
        }),
        (allow(json!([]), json!("*")), |e| matches!(e, DocumentError::Action(1))),
        (allow(json!("DescribeDesktops"), json!("*")), |e| matches!(e, DocumentError::ActionForm(1, _))),
        (allow(json!("ecd:a:b"), json!("*")), |e| matches!(e, DocumentError::ActionForm(1, _))),
        (allow(json!("*"), json!([])), |e| matches!(e, DocumentError::Resource(1))),
        (allow(json!("*"), json!("desktop/ecd-1")), |e| matches!(e, DocumentError::ResourceForm(1, _))),
        (allow(json!("*"), json!("arn:ecd:*:*:desktop/a")), |e| {
            matches!(e, DocumentError::ResourceForm(1, _))
        }),
        (json!([{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}}]), |e| {
            matches!(e, DocumentError::Condition(1))
        }),
        (json!([{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]), |e| {
            matches!(e, DocumentError::NotADocument(_))
        }),
    ];
    for (statements, is) in cases {
        let error = parse(statements.clone()).expect_err("refused");
        assert!(is(&error), "{statements}: {error}");
    }
    let one = r#"{"Version":"2","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    assert_eq!(Policy::parse("p", one), Err(DocumentError::Version));
    assert_eq!(Policy::parse("p", &" ".repeat(DOCUMENT_BYTES_MAX + 1)), Err(DocumentError::TooLong));
}

#[test]
fn the_policies_that_come_with_us_are_valid() {
    for policy in &SYSTEM_POLICIES {
        Policy::parse(policy.name, policy.document).unwrap();
    }
    assert_eq!(
        evaluate([end_user_policy()], "creel:SendAgentMessage", &[resource("desktop/a")]),
        Decision::Allowed
    );
    assert_eq!(
        evaluate([end_user_policy()], "ecd:DeleteDesktops", &[resource("desktop/a")]),
        Decision::Denied(None)
    );
}

/// The grammar once more, as slowly and plainly as it can be said.
mod naive {
    use super::*;

    fn wild(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|taken| wild(rest, &text[taken..])),
            ['?', rest @ ..] => !text.is_empty() && wild(rest, &text[1..]),
            [wanted, rest @ ..] => text.first() == Some(wanted) && wild(rest, &text[1..]),
        }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        wild(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
    }

    fn texts(value: &Value) -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
            one => vec![one.as_str().unwrap().to_owned()],
        }
    }

    fn names(statement: &Value, action: &str, path: &str) -> bool {
        let action = action.to_lowercase();
        let is = |list: &Value| texts(list).iter().any(|pattern| matches(&pattern.to_lowercase(), &action));
        let by_action = match statement.get("NotAction") {
            Some(list) => !is(list),
            None => is(&statement["Action"]),
        };
        let by_resource = texts(&statement["Resource"]).iter().any(|pattern| {
            pattern == "*" || {
                let parts: Vec<&str> = pattern.splitn(5, ':').collect();
                matches(parts[1], "ecd")
                    && (parts[2].is_empty() || matches(parts[2], "cn-hangzhou"))
                    && (parts[3].is_empty() || matches(parts[3], "100"))
                    && matches(parts[4], path)
            }
        });
        by_action && by_resource
    }

    /// Whether it is allowed, and if not whether a statement says so.
    pub(super) fn evaluate(policies: &[Value], action: &str, paths: &[String]) -> (bool, bool) {
        let statements: Vec<&Value> =
            policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap()).collect();
        let with = |effect: &str, path: &str| {
            statements.iter().any(|s| s["Effect"] == effect && names(s, action, path))
        };
        let denied = paths.iter().any(|path| with("Deny", path));
        let allowed = !paths.is_empty() && paths.iter().all(|path| with("Allow", path));
        (allowed && !denied, denied)
    }
}

/// Few letters, so that patterns and texts often meet.
fn statement() -> impl Strategy<Value = Value> {
    let action = prop_oneof![Just("*".to_owned()), "[abAB*?]{1,4}:[abAB*?]{1,5}"];
    let part = prop_oneof![
        Just(String::new()),
        Just("*".to_owned()),
        Just("cn-*".to_owned()),
        Just("1?0".to_owned())
    ];
    let path = prop_oneof!["[ab*?]{1,3}/[ab*?]{0,5}", "[ab*?]{1,6}"];
    let resource = prop_oneof![
        Just("*".to_owned()),
        (prop_oneof![Just("ecd"), Just("*"), Just("e?d")], part.clone(), part, path)
            .prop_map(|(product, region, account, path)| format!("acs:{product}:{region}:{account}:{path}")),
    ];
    let one_or_more = |one: BoxedStrategy<String>| {
        prop_oneof![
            one.clone().prop_map(Value::from),
            proptest::collection::vec(one, 1..4).prop_map(Value::from)
        ]
    };
    (any::<bool>(), prop::bool::weighted(0.2), one_or_more(action.boxed()), one_or_more(resource.boxed()))
        .prop_map(|(allow, negated, action, resource)| {
            let effect = if allow { "Allow" } else { "Deny" };
            let field = if negated { "NotAction" } else { "Action" };
            json!({"Effect": effect, field: action, "Resource": resource})
        })
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    let document = proptest::collection::vec(statement(), 1..6)
        .prop_map(|statements| json!({"Version": "1", "Statement": statements}));
    proptest::collection::vec(document, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_evaluator_says_what_the_naive_one_says(
        documents in documents(),
        action in "[ab]{1,3}:[ab]{1,4}",
        paths in proptest::collection::vec("[ab]{1,2}/[ab]{0,5}", 0..4),
    ) {
        let policies: Vec<Policy> =
            documents.iter().map(|document| Policy::parse("p", &document.to_string()).unwrap()).collect();
        let resources: Vec<Resource<'_>> = paths.iter().map(|path| resource(path)).collect();
        let decision = evaluate(&policies, &action, &resources);
        let (allowed, denied) = naive::evaluate(&documents, &action, &paths);
        prop_assert_eq!(decision == Decision::Allowed, allowed);
        prop_assert_eq!(matches!(decision, Decision::Denied(Some(_))), denied);
    }

    #[test]
    fn no_document_panics(text in "\\PC{0,200}") {
        let _ = Policy::parse("p", &text);
    }
}

use proptest::prelude::*;

use super::*;
use crate::ops::{ALL, OpSpec};

const ITEM: &[ParamSpec] = &[
    ParamSpec::new("Code", Kind::String).required(),
    ParamSpec::new("IsDefault", Kind::Boolean),
    ParamSpec::new("Tags", Kind::Strings),
    ParamSpec::new("Gone", Kind::Boolean).refused(),
];

const SPECS: &[ParamSpec] = &[
    ParamSpec::new("Text", Kind::String).len_min(2).len_max(5),
    ParamSpec::new("Count", Kind::Integer).min(1).max(300),
    ParamSpec::new("Ratio", Kind::Number).min(0),
    ParamSpec::new("Flag", Kind::Boolean),
    ParamSpec::new("Mode", Kind::String).one_of(&["A", "B"]),
    ParamSpec::new("Ids", Kind::Strings).required().items_max(3),
    ParamSpec::new("Items", Kind::Objects(ITEM)),
    ParamSpec::new("One", Kind::Object(ITEM)),
    ParamSpec::new("Disk", Kind::Object(&[])).refused(),
    ParamSpec::new("Edition", Kind::Integer).required().ignored(),
];

#[derive(Debug, PartialEq)]
struct Item {
    code: String,
    is_default: Option<bool>,
    tags: Vec<String>,
}

fn item(fields: &Fields<'_>) -> Result<Item, ApiError> {
    Ok(Item {
        code: fields.required("Code")?,
        is_default: fields.optional("IsDefault")?,
        tags: fields.list("Tags")?,
    })
}

#[derive(Debug, PartialEq, Default)]
struct Input {
    text: Option<String>,
    count: Option<i64>,
    ratio: Option<f64>,
    flag: Option<bool>,
    mode: Option<String>,
    ids: Vec<String>,
    items: Vec<Item>,
    one: Option<Item>,
}

fn read(params: &Params) -> Result<Input, ApiError> {
    let fields = Fields::of(params, SPECS)?;
    Ok(Input {
        text: fields.optional("Text")?,
        count: fields.optional("Count")?,
        ratio: fields.optional("Ratio")?,
        flag: fields.optional("Flag")?,
        mode: fields.optional("Mode")?,
        ids: fields.list("Ids")?,
        items: fields.objects("Items", item)?,
        one: fields.object("One", item)?,
    })
}

/// Reads with what is required filled in.
fn decode(pairs: &[(&str, &str)]) -> Result<Input, ApiError> {
    let filled = [("Edition", "1"), ("Ids", r#"["x"]"#)];
    let given = |name: &str| pairs.iter().any(|(other, _)| other.split('.').next() == Some(name));
    read(&filled.iter().filter(|(name, _)| !given(name)).chain(pairs).copied().collect())
}

fn refused(pairs: &[(&str, &str)]) -> (String, String) {
    let error = decode(pairs).expect_err("refused");
    (error.code.into_owned(), error.message)
}

fn sample() -> Vec<Item> {
    let tags = vec!["t1".to_owned(), "t2".to_owned()];
    vec![
        Item { code: "a".into(), is_default: Some(true), tags },
        Item { code: "b".into(), is_default: None, tags: vec![] },
    ]
}

#[test]
fn scalars_are_read() {
    let input =
        decode(&[("Text", "钉钉"), ("Count", "300"), ("Ratio", "0.5"), ("Flag", "TrUe"), ("Mode", "A")]);
    let input = input.expect("reads");
    assert_eq!((input.text.as_deref(), input.count, input.ratio), (Some("钉钉"), Some(300), Some(0.5)));
    assert_eq!((input.flag, input.mode.as_deref()), (Some(true), Some("A")));
    assert_eq!(decode(&[("Flag", "False")]).expect("reads").flag, Some(false));
}

#[test]
fn an_empty_text_is_a_value_only_of_free_text() {
    let input =
        decode(&[("Text", ""), ("Count", ""), ("Flag", ""), ("Mode", ""), ("Items", ""), ("One", "")]);
    let expected = Input { text: Some(String::new()), ids: vec!["x".into()], ..Input::default() };
    assert_eq!(input, Ok(expected));
}

#[test]
fn lists_are_read_in_every_form_and_in_index_order() {
    let many: Vec<(&str, &str)> = vec![("Ids.10", "c"), ("Ids.2", "b"), ("Ids.1", "a")];
    for pairs in [many, vec![("Ids", r#"["a","b","c"]"#)], vec![("Ids", r#" [ "a" , "b", "c" ] "#)]] {
        assert_eq!(decode(&pairs).expect("reads").ids, ["a", "b", "c"]);
    }
    assert_eq!(decode(&[("Ids", "[1,2]")]).expect("reads").ids, ["1", "2"]);
}

#[test]
fn objects_are_read_in_every_form_also_within_each_other() {
    let json =
        r#"[{"Code":"a","IsDefault":true,"Tags":["t1","t2"]},{"Code":"b","IsDefault":null,"More":{}}]"#;
    let flat = vec![
        ("Items.1.Code", "a"),
        ("Items.1.IsDefault", "True"),
        ("Items.1.Tags.1", "t1"),
        ("Items.1.Tags.2", "t2"),
        ("Items.2.Code", "b"),
    ];
    let mixed = vec![
        ("Items.1", r#"{"Code":"a","IsDefault":"true","Tags":"[\"t1\",\"t2\"]"}"#),
        ("Items.2.Code", "b"),
        ("Items.2.Tags", "[]"),
    ];
    for pairs in [vec![("Items", json)], flat, mixed] {
        assert_eq!(decode(&pairs).expect("reads").items, sample(), "{pairs:?}");
    }
    for pairs in [[("One.Code", "b"), ("One.IsDefault", "")], [("One", r#"{"Code":"b"}"#), ("Text", "")]] {
        assert_eq!(decode(&pairs).expect("reads").one.as_ref(), sample().get(1));
    }
}

#[test]
fn what_is_missing_has_its_own_code() {
    assert_eq!(refused(&[("Ids", "")]).0, "MissingIds");
    assert_eq!(refused(&[("Ids", "[]")]).0, "MissingIds");
    assert_eq!(refused(&[("Edition", "")]).0, "MissingEdition");
    let (code, message) = refused(&[("Items.1.Code", "a"), ("Items.2.IsDefault", "true")]);
    assert_eq!(code, "MissingCode");
    assert!(message.contains("Items.2.Code"), "{message}");
    assert_eq!(refused(&[("One", "{}")]).0, "MissingCode");
}

#[test]
fn what_is_wrong_is_told_with_what_is_right() {
    for (pairs, code, says) in [
        (("Text", "a"), "InvalidText", "of 2 to 5 characters"),
        (("Text", "abcdef"), "InvalidText", "of 2 to 5 characters"),
        (("Count", "0"), "InvalidCount", "an integer from 1 to 300"),
        (("Count", "1.5"), "InvalidCount", "an integer from 1 to 300"),
        (("Count", "99999999999999999999"), "InvalidCount", "an integer"),
        (("Ratio", "-1"), "InvalidRatio", "a number of at least 0"),
        (("Ratio", "NaN"), "InvalidRatio", "a number"),
        (("Ratio", "inf"), "InvalidRatio", "a number"),
        (("Flag", "yes"), "InvalidFlag", "true or false"),
        (("Mode", "a"), "InvalidMode", "one of A, B"),
        (("Text.1", "x"), "InvalidText", "a text"),
        (("Ids", "x"), "InvalidIds", "JSON list"),
        (("Ids", "{}"), "InvalidIds", "JSON list"),
        (("Ids", r#"["a",null]"#), "InvalidIds", "Ids.2 must not be null"),
        (("Ids", r#"["a",""]"#), "InvalidIds", "Ids.2 must not be empty"),
        (("Ids", r#"["a","b","c","d"]"#), "InvalidIds", "at most 3 items, 4"),
        (("Ids.0", "x"), "InvalidIds", "Ids.1, Ids.2"),
        (("Ids.01", "x"), "InvalidIds", "Ids.1, Ids.2"),
        (("Ids.x", "x"), "InvalidIds", "Ids.1, Ids.2"),
        (("Items", "[1]"), "InvalidItems", "Items.1 must be an object"),
        (("Items.1", "x"), "InvalidItems", "Items.1 must be an object"),
        (("One", "[]"), "InvalidOne", "must be an object"),
        (("One", r#"{"Code":"a","IsDefault":"x"}"#), "InvalidOne", "One.IsDefault must be true or false"),
    ] {
        let (found, message) = refused(&[pairs]);
        assert_eq!(found, code, "{pairs:?}: {message}");
        assert!(message.contains(says), "{pairs:?}: {message}");
    }
    let (code, message) = refused(&[("Ids", r#"["a"]"#), ("Ids.1", "b")]);
    assert_eq!(code, "InvalidIds");
    assert!(message.contains("one form"), "{message}");
}

#[test]
fn a_message_never_repeats_the_value() {
    let (_, message) = refused(&[("Count", "sk-secret")]);
    assert!(!message.contains("sk-"), "{message}");
}

#[test]
fn a_refused_parameter_is_named_unless_it_is_harmless() {
    for harmless in ["", "false", "False", "{}", "[]", "null"] {
        assert!(decode(&[("Disk", harmless)]).is_ok(), "{harmless:?}");
    }
    assert!(decode(&[("Disk.1", "false"), ("Disk.2.X", "")]).is_ok());
    assert!(decode(&[("One", r#"{"Code":"a","Gone":false}"#)]).is_ok());
    for pairs in [("Disk", "true"), ("Disk.1.X", "1"), ("Disk", "0"), ("Disk", r#"{"a":1}"#)] {
        let (code, message) = refused(&[pairs]);
        assert_eq!(code, "UnsupportedParameter");
        assert!(message.contains("Disk"), "{message}");
    }
    let (code, message) = refused(&[("One", r#"{"Code":"a","Gone":true}"#)]);
    assert_eq!((code.as_str(), message.contains("One.Gone")), ("UnsupportedParameter", true));
}

#[test]
fn the_list_of_operations_has_each_once_and_sane_declarations() {
    let mut names: Vec<(&str, &str)> = ALL.iter().map(|spec| (spec.version, spec.action)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    for OpSpec { action, mutates, params, .. } in ALL {
        let reads = ["Describe", "Get", "List"].iter().any(|verb| action.starts_with(verb));
        // It gives credentials out, which leaves an audit row.
        assert_eq!(*mutates, !reads || *action == "GetOssStsToken", "{action}");
        for spec in *params {
            assert!(spec.min.zip(spec.max).is_none_or(|(min, max)| min <= max), "{action}.{}", spec.name);
            assert!(!(spec.required && spec.class == ParamClass::Refused), "{action}.{}", spec.name);
        }
    }
    // What they make is a secret, which a remembered answer would keep in clear.
    let secret = ["CreateAccessKey", "CreateTemporaryCredentials"];
    for spec in ALL.iter().filter(|spec| !secret.contains(&spec.action)) {
        let creates =
            ["Create", "BatchCreate", "Run", "Send"].iter().any(|verb| spec.action.starts_with(verb));
        assert_eq!(spec.takes_client_token(), creates, "{}", spec.action);
    }
}

/// Text for a parameter of any kind: some right, some wrong, some odd.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[0-9]{1,3}",
        "true|False",
        "\\PC{0,12}",
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        r#"\[("a"|1|null|\{"Code":"a"\})(,"b")?\]"#,
        r#"\{"Code":("a"|1|\{\}|\[\]|null)\}"#,
    ]
}

proptest! {
    #[test]
    fn no_parameters_panic(
        pairs in proptest::collection::vec(
            ("(Text|Count|Ids|Items|One|Disk|Edition)(\\.(0|1|2|x|99999999999|Code|Tags|Gone)){0,4}", any_value()),
            0..12,
        ),
    ) {
        let _ = read(&pairs.into_iter().collect());
    }

    #[test]
    fn flat_and_json_lists_read_the_same(ids in proptest::collection::vec("\\PC{1,8}", 1..4)) {
        let flat: Vec<(String, String)> =
            ids.iter().enumerate().map(|(n, id)| (format!("Ids.{}", n + 1), id.clone())).collect();
        let json = vec![("Ids".to_owned(), serde_json::to_string(&ids).expect("json"))];
        for pairs in [flat, json] {
            let params = pairs.into_iter().chain([("Edition".to_owned(), "1".to_owned())]).collect();
            prop_assert_eq!(&read(&params).expect("reads").ids, &ids);
        }
    }
}

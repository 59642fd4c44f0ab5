//! What `spec/` says about the operations that are built, after the overlay and with the class of each parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::access::{Access, Resource};

/// One operation to generate.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) product: String,
    pub(crate) version: String,
    pub(crate) action: String,
    /// Module under `ops` that holds it.
    pub(crate) resource: String,
    pub(crate) description: Option<String>,
    /// What a policy calls it.
    pub(crate) permission: String,
    pub(crate) resources: Vec<Resource>,
    pub(crate) input: Vec<Field>,
    pub(crate) output: Vec<Field>,
}

/// A parameter, a field of one, or a field of an answer.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) class: Class,
    /// Rule or reason behind the class.
    pub(crate) reason: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) values: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) default: Option<String>,
    pub(crate) example: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Shape {
    One(Type),
    List(Type),
}

#[derive(Debug)]
pub(crate) enum Type {
    String,
    Secret,
    Integer,
    Number,
    Boolean,
    /// Any JSON: only in answers.
    Any,
    Object(Vec<Field>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Acts,
    Echoed,
    Refused,
    Ignored,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Limits {
    pub(crate) items_max: Option<u64>,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) len_min: Option<u64>,
    pub(crate) len_max: Option<u64>,
}

/// One entry of `overlay.toml`, whose head explains the keys.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    r#type: Option<String>,
    required: Option<bool>,
    min: Option<i64>,
    max: Option<i64>,
    len_min: Option<u64>,
    len_max: Option<u64>,
    items_max: Option<u64>,
    values: Option<Vec<String>>,
    #[serde(default)]
    secret: bool,
    description: Option<String>,
}

/// What stands before the path of a field of an answer.
const ANSWER: &str = "Answer.";

type Table<T> = BTreeMap<String, BTreeMap<String, T>>;

/// Reads the operations of `built.toml` in its order by file and action.
pub(crate) fn load(dir: &Path) -> anyhow::Result<Vec<Operation>> {
    let built: Table<String> = read_toml(&dir.join("built.toml"))?;
    let mut overlay: Table<Patch> = read_toml(&dir.join("overlay.toml"))?;
    let mut classes: Table<String> = read_toml(&dir.join("classes.toml"))?;
    let access = Access::load(dir)?;
    let mut operations = Vec::new();
    for (stem, actions) in &built {
        let path = dir.join(format!("{stem}.json"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let spec: Value =
            serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        for (action, resource) in actions {
            let notes = Notes {
                patches: overlay.remove(action).unwrap_or_default(),
                classes: classes.remove(action).unwrap_or_default(),
                used: BTreeSet::new(),
            };
            let mut operation = operation(&spec, action, resource, notes)
                .with_context(|| format!("operation {action} of {stem}"))?;
            (operation.permission, operation.resources) = access.of(stem, action, &operation.input)?;
            operations.push(operation);
        }
    }
    let left: Vec<&String> = overlay.keys().chain(classes.keys()).collect();
    ensure!(left.is_empty(), "overlay.toml or classes.toml name operations that are not built: {left:?}");
    Ok(operations)
}

pub(super) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

/// What our own files say about one operation, and which of it was used.
struct Notes {
    patches: BTreeMap<String, Patch>,
    classes: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

fn operation(spec: &Value, action: &str, resource: &str, mut notes: Notes) -> anyhow::Result<Operation> {
    let declared = spec.pointer(&format!("/operations/{action}")).context("not in the specification")?;
    let mut parameters = declared.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
    let is_answer = |path: &&String| path.starts_with(ANSWER);
    let (answers, patches): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut notes.patches).into_iter().partition(|(path, _)| is_answer(&path));
    notes.patches = patches;
    for (path, patch) in notes.patches.iter().filter(|(_, patch)| patch.r#type.is_some()) {
        ensure!(!parameters.contains_key(path), "the overlay adds {path}, which the specification has");
        parameters.insert(path.clone(), serde_json::json!({ "type": patch.r#type }));
    }
    parameters.sort_keys();
    let input = parameters.iter().map(|(name, value)| input_field(name, name, value, &mut notes));
    let input = input.collect::<anyhow::Result<Vec<_>>>()?;
    let mut body = declared.get("response_body").and_then(Value::as_object).cloned().unwrap_or_default();
    for (path, patch) in answers {
        add_answer(&mut body, path.trim_start_matches(ANSWER), &patch)?;
    }
    // the server adds RequestId to every answer
    let output = body.iter().filter(|(name, _)| name.as_str() != "RequestId");
    let output = output.map(|(name, value)| output_field(name, value)).collect::<anyhow::Result<Vec<_>>>()?;
    let unused: Vec<&String> =
        notes.patches.keys().chain(notes.classes.keys()).filter(|path| !notes.used.contains(*path)).collect();
    ensure!(unused.is_empty(), "overlay.toml or classes.toml name unknown parameters: {unused:?}");
    Ok(Operation {
        product: text(spec, "product").context("no product")?,
        version: text(spec, "version").context("no version")?,
        action: action.to_owned(),
        resource: resource.to_owned(),
        description: text(declared, "description"),
        permission: String::new(),
        resources: Vec::new(),
        input,
        output,
    })
}

/// Adds a field that the specification does not have to an answer.
fn add_answer(body: &mut Map<String, Value>, path: &str, patch: &Patch) -> anyhow::Result<()> {
    let mut fields = body;
    let (outer, name) = path.rsplit_once('.').unwrap_or(("", path));
    for step in outer.split('.').filter(|step| !step.is_empty()) {
        let at = fields.get_mut(step).with_context(|| format!("no {step} for {path}"))?;
        let of_items = if at.get("items").is_some() { at.get_mut("items") } else { Some(at) };
        let inner = of_items.and_then(|at| at.get_mut("fields")).and_then(Value::as_object_mut);
        fields = inner.with_context(|| format!("{step} of {path} is no object"))?;
    }
    ensure!(!fields.contains_key(name), "the overlay adds {path}, which the specification has");
    fields.insert(
        name.to_owned(),
        serde_json::json!({ "type": patch.r#type, "description": patch.description }),
    );
    Ok(())
}

/// `path` is the name with those of the objects around it, as overlay and classes write it.
fn input_field(name: &str, path: &str, value: &Value, notes: &mut Notes) -> anyhow::Result<Field> {
    let patch = notes.patches.get(path).cloned().unwrap_or_default();
    let class_text = notes.classes.get(path).cloned();
    notes.used.insert(path.to_owned());
    let is_top_level = name == path;
    let (class, reason) = match class_text {
        Some(text) => parse_class(&text).with_context(|| format!("class of {path}"))?,
        None if is_top_level => bail!("classes.toml has no class for {path}"),
        None => (Class::Acts, None),
    };
    let mut nested = |fields: &Map<String, Value>| {
        let field =
            |(name, value): (&String, &Value)| input_field(name, &format!("{path}.{name}"), value, notes);
        fields.iter().map(field).collect::<anyhow::Result<Vec<_>>>()
    };
    let mut shape = shape(value, &mut nested).with_context(|| format!("type of {path}"))?;
    if matches!(shape, Shape::One(Type::Any)) {
        // a map comes as JSON text, and the handler knows which keys it may have
        shape = Shape::One(Type::String);
    }
    if patch.secret {
        ensure!(matches!(shape, Shape::One(Type::String)), "only a text can be secret: {path}");
        shape = Shape::One(Type::Secret);
    }
    let spec_required = value.get("required").and_then(Value::as_bool).unwrap_or(false);
    let of_items = value.get("items").unwrap_or(value);
    let is_text = matches!(shape, Shape::One(Type::String) | Shape::List(Type::String));
    let limits = Limits {
        items_max: patch
            .items_max
            .or_else(|| number(value, "meta_max_items").and_then(|n| n.try_into().ok())),
        min: patch.min.or_else(|| number(value, "meta_minimum")),
        max: patch.max.or_else(|| number(value, "meta_maximum")),
        len_min: patch.len_min,
        len_max: patch
            .len_max
            .or_else(|| number(of_items, "meta_max_length").and_then(|n| n.try_into().ok())),
    };
    let spec_values = if is_text { texts(of_items, "meta_enum") } else { Vec::new() };
    let mut field = plain_field(name, value, shape);
    field.required = patch.required.unwrap_or(spec_required);
    field.class = class;
    field.reason = reason;
    field.limits = limits;
    field.values = patch.values.unwrap_or(spec_values);
    field.description = patch.description.or(field.description);
    Ok(field)
}

fn output_field(name: &str, value: &Value) -> anyhow::Result<Field> {
    let mut nested = |fields: &Map<String, Value>| {
        fields.iter().map(|(name, value)| output_field(name, value)).collect::<anyhow::Result<Vec<_>>>()
    };
    let shape = shape(value, &mut nested).with_context(|| format!("type of {name}"))?;
    Ok(plain_field(name, value, shape))
}

fn plain_field(name: &str, value: &Value, shape: Shape) -> Field {
    // of texts, most defaults were mined from comments about something else; our own come with a description
    let has_sure_default = value.get("description").is_some()
        || matches!(shape, Shape::One(Type::Integer | Type::Number | Type::Boolean));
    Field {
        name: name.to_owned(),
        required: false,
        class: Class::Acts,
        reason: None,
        limits: Limits::default(),
        values: Vec::new(),
        description: text(value, "description"),
        default: text(value, "default").filter(|_| has_sure_default),
        example: text(value, "example"),
        shape,
    }
}

type Nested<'a> = &'a mut dyn FnMut(&Map<String, Value>) -> anyhow::Result<Vec<Field>>;

fn shape(value: &Value, nested: Nested<'_>) -> anyhow::Result<Shape> {
    if text(value, "type").as_deref() == Some("array") {
        let items = value.get("items").context("a list without items")?;
        return Ok(Shape::List(one(items, nested)?));
    }
    Ok(Shape::One(one(value, nested)?))
}

fn one(value: &Value, nested: Nested<'_>) -> anyhow::Result<Type> {
    Ok(match text(value, "type").as_deref() {
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        Some("map" | "any") => Type::Any,
        Some("object") => match value.get("fields").and_then(Value::as_object) {
            Some(fields) => Type::Object(nested(fields)?),
            None => Type::Any,
        },
        other => bail!("unknown type {other:?}"),
    })
}

fn parse_class(text: &str) -> anyhow::Result<(Class, Option<String>)> {
    let (class, reason) = match text.split_once(':') {
        Some((class, reason)) => (class, Some(reason.trim().to_owned())),
        None => (text, None),
    };
    let class = match class {
        "acts" => Class::Acts,
        "echoed" => Class::Echoed,
        "refused" => Class::Refused,
        "ignored" => Class::Ignored,
        other => bail!("unknown class {other:?}"),
    };
    let explained = reason.is_some() || !matches!(class, Class::Refused | Class::Ignored);
    ensure!(explained, "refused and ignored need a reason behind a colon");
    Ok((class, reason))
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

/// The metadata dump writes some numbers as texts.
fn number(value: &Value, key: &str) -> Option<i64> {
    let number = value.get(key)?;
    number.as_i64().or_else(|| number.as_str().and_then(|text| text.parse().ok()))
}

//! `spec/access.toml`: the permission of every operation and what it is about. Its head explains the forms.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::model::{Class, Field, Shape, Type, read_toml};

/// The file, whose entries are compared with each operation that is built.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    permission: BTreeMap<String, String>,
    r#type: BTreeMap<String, String>,
    operation: BTreeMap<String, Vec<String>>,
}

/// A resource that a caller must be allowed the action on.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) product: String,
    pub(crate) kind: String,
    pub(crate) source: Source,
}

/// Where its ids are.
#[derive(Debug)]
pub(crate) enum Source {
    All,
    Param(String),
    OptionalParam(String),
    ParamOrCaller(String),
    Field { list: String, field: String },
}

impl Access {
    pub(super) fn load(dir: &Path) -> anyhow::Result<Self> {
        read_toml(&dir.join("access.toml"))
    }

    /// Permission and resources of an operation with these parameters.
    pub(super) fn of(
        &self,
        stem: &str,
        action: &str,
        input: &[Field],
    ) -> anyhow::Result<(String, Vec<Resource>)> {
        let prefix =
            self.permission.get(stem).with_context(|| format!("access.toml has no permission for {stem}"))?;
        let entries = self.operation.get(action).filter(|entries| !entries.is_empty());
        let entries = entries.with_context(|| format!("access.toml has no operation {action}"))?;
        let resources = entries.iter().map(|entry| {
            let resource = self.resource(entry)?;
            check(&resource.source, input)?;
            Ok(resource)
        });
        let resources = resources.collect::<anyhow::Result<_>>();
        let resources = resources.with_context(|| format!("{action} in access.toml"))?;
        Ok((format!("{prefix}:{action}"), resources))
    }

    fn resource(&self, entry: &str) -> anyhow::Result<Resource> {
        let (kind, id) = entry.split_once('/').with_context(|| format!("{entry} is not type/id"))?;
        let product = self.r#type.get(kind).with_context(|| format!("no type {kind}"))?.clone();
        let source = match id.strip_prefix('{').and_then(|id| id.strip_suffix('}')) {
            None if id == "*" => Source::All,
            None => bail!("{entry} ends neither in * nor in {{Param}}"),
            Some(param) => {
                match (param.strip_suffix('?'), param.strip_suffix("=caller"), param.split_once('.')) {
                    (Some(param), ..) => Source::OptionalParam(param.to_owned()),
                    (_, Some(param), _) => Source::ParamOrCaller(param.to_owned()),
                    (_, _, Some((list, field))) => {
                        Source::Field { list: list.to_owned(), field: field.to_owned() }
                    }
                    _ => Source::Param(param.to_owned()),
                }
            }
        };
        Ok(Resource { product, kind: kind.to_owned(), source })
    }
}

/// Ids are read from parameters that are read at all, and that are texts.
fn check(source: &Source, input: &[Field]) -> anyhow::Result<()> {
    let find = |fields: &'_ [Field], name: &str| -> anyhow::Result<usize> {
        fields
            .iter()
            .position(|field| field.name == *name && matches!(field.class, Class::Acts | Class::Echoed))
            .with_context(|| format!("no parameter {name} that is read"))
    };
    let text = |field: &Field| matches!(field.shape, Shape::One(Type::String) | Shape::List(Type::String));
    match source {
        Source::All => Ok(()),
        Source::Param(name) | Source::OptionalParam(name) | Source::ParamOrCaller(name) => {
            let at = find(input, name)?;
            ensure!(input.get(at).is_some_and(text), "{name} is neither a text nor a list of texts");
            Ok(())
        }
        Source::Field { list, field } => {
            let at = find(input, list)?;
            let Some(Shape::List(Type::Object(nested))) = input.get(at).map(|field| &field.shape) else {
                bail!("{list} is no list of objects");
            };
            let at = find(nested, field)?;
            ensure!(nested.get(at).is_some_and(text), "{list}.{field} is no text");
            Ok(())
        }
    }
}

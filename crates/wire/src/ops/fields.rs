//! Reads typed values of an operation out of [`Params`], by the limits of its declaration.
//!
//! One value may come in several forms, and all are accepted everywhere: a list as `Name.1`, `Name.2` or as JSON
//! text, an object as `Name.Field` or as JSON text, also within each other. Depth is bounded by the declaration and
//! by the JSON parser, never by the request. Messages say what is right and never repeat the value, which may be a
//! secret.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::spec::{Kind, ParamClass, ParamSpec};
use crate::error::{ApiError, ErrorCode};
use crate::params::Params;
use crate::secret::Secret;

/// Most items of a list for which the declaration sets no limit.
pub const ITEMS_MAX_DEFAULT: usize = 1_000;

/// The fields of the request, or of one object parameter in it, with their declarations.
#[derive(Debug)]
pub struct Fields<'a> {
    source: Source<'a>,
    specs: &'static [ParamSpec],
    /// Name of the object these fields belong to, with a dot behind; empty at the top.
    path: String,
}

/// Where the fields stand: in the request's map below a prefix, or in an object that came as JSON text.
#[derive(Debug)]
enum Source<'a> {
    Flat { params: &'a Params, prefix: String },
    Json(serde_json::Map<String, Value>),
}

/// A value before its type is known.
enum Raw<'a> {
    Text(Cow<'a, str>),
    Json(Value),
    /// Given by dotted names below this prefix (which ends in a dot).
    Flat {
        params: &'a Params,
        prefix: String,
    },
}

/// A type that one text can hold.
pub trait Scalar: Sized {
    /// What a message calls it, with its article.
    const WANTED: &'static str;
    /// True if the empty text is a value; for all others it means that the parameter is absent.
    const EMPTY_IS_VALUE: bool = false;
    /// `None` if the text is not of this type or outside the declared limits.
    fn read(text: Cow<'_, str>, spec: &ParamSpec) -> Option<Self>;
}

impl Scalar for String {
    const WANTED: &'static str = "a text";
    const EMPTY_IS_VALUE: bool = true;
    fn read(text: Cow<'_, str>, spec: &ParamSpec) -> Option<Self> {
        text_fits(&text, spec).then(|| text.into_owned())
    }
}

impl Scalar for Secret {
    const WANTED: &'static str = "a text";
    const EMPTY_IS_VALUE: bool = true;
    fn read(text: Cow<'_, str>, spec: &ParamSpec) -> Option<Self> {
        text_fits(&text, spec).then(|| Secret::new(text.into_owned()))
    }
}

impl Scalar for i64 {
    const WANTED: &'static str = "an integer";
    fn read(text: Cow<'_, str>, spec: &ParamSpec) -> Option<Self> {
        let value: i64 = text.parse().ok()?;
        (spec.min.is_none_or(|min| value >= min) && spec.max.is_none_or(|max| value <= max)).then_some(value)
    }
}

impl Scalar for f64 {
    const WANTED: &'static str = "a number";
    fn read(text: Cow<'_, str>, spec: &ParamSpec) -> Option<Self> {
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
        // limits are small integers, which f64 holds exactly
        #[expect(clippy::cast_precision_loss, reason = "declared limits are far below 2^53")]
        let fits =
            spec.min.is_none_or(|min| value >= min as f64) && spec.max.is_none_or(|max| value <= max as f64);
        fits.then_some(value)
    }
}

impl Scalar for bool {
    const WANTED: &'static str = "true or false";
    /// Any case: SDKs send `True` as well as `true`.
    fn read(text: Cow<'_, str>, _: &ParamSpec) -> Option<Self> {
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }
}

impl<'a> Fields<'a> {
    /// The top-level fields of a request.
    ///
    /// # Errors
    /// `UnsupportedParameter` if a refused parameter is present with more than its harmless default.
    pub fn of(params: &'a Params, specs: &'static [ParamSpec]) -> Result<Self, ApiError> {
        Self::new(Source::Flat { params, prefix: String::new() }, specs, String::new())
    }

    fn new(source: Source<'a>, specs: &'static [ParamSpec], path: String) -> Result<Self, ApiError> {
        let fields = Self { source, specs, path };
        for spec in specs {
            match spec.class {
                ParamClass::Refused => fields.refuse(spec)?,
                // it does nothing here, but a call without it is as wrong as it is with the provider
                ParamClass::Ignored if spec.required => fields.require(spec.name)?,
                ParamClass::Acts | ParamClass::Echoed | ParamClass::Ignored => {}
            }
        }
        Ok(fields)
    }

    /// A single value, `None` if absent. An empty text counts as absent unless any text is a value.
    ///
    /// # Errors
    /// `Invalid<Name>` if it is of another type or outside its limits.
    pub fn optional<T: Scalar>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let spec = self.spec(name)?;
        let Some(raw) = self.raw(name)? else { return Ok(None) };
        read_scalar(raw, spec, &self.path_of(name))
    }

    /// A single value that must be there and not be empty.
    ///
    /// # Errors
    /// `Missing<Name>` if absent or empty, else as [`Fields::optional`].
    pub fn required<T: Scalar>(&self, name: &str) -> Result<T, ApiError> {
        match self.raw(name)? {
            None => Err(self.missing(name)),
            Some(Raw::Text(text)) if text.is_empty() => Err(self.missing(name)),
            Some(raw) => {
                let path = self.path_of(name);
                read_scalar(raw, self.spec(name)?, &path)?.ok_or_else(|| self.missing(name))
            }
        }
    }

    /// A list of single values in index order; empty if absent, for the wire cannot tell the two apart.
    ///
    /// # Errors
    /// `Missing<Name>` if it is required and empty, `Invalid<Name>` if it is too long or an item is wrong.
    pub fn list<T: Scalar>(&self, name: &str) -> Result<Vec<T>, ApiError> {
        let spec = self.spec(name)?;
        self.items(name)?
            .into_iter()
            .map(|(path, raw)| {
                // an item has to be something: an empty text in a list of ids is a caller's mistake
                let empty = matches!(&raw, Raw::Text(text) if text.is_empty());
                let item = if empty { None } else { read_scalar(raw, spec, &path)? };
                item.ok_or_else(|| invalid(&path, &format!("The parameter {path} must not be empty.")))
            })
            .collect()
    }

    /// An object, `None` if absent.
    ///
    /// # Errors
    /// `Invalid<Name>` if it is no object, and whatever `read` finds wrong in it.
    pub fn object<T>(
        &self,
        name: &str,
        read: impl Fn(&Fields<'_>) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        let fields = match self.raw(name)? {
            None => return Ok(None),
            Some(Raw::Text(text)) if text.is_empty() => return Ok(None),
            Some(raw) => read_object(raw, self.nested(name)?, &self.path_of(name))?,
        };
        read(&fields).map(Some)
    }

    /// A list of objects in index order; empty if absent.
    ///
    /// # Errors
    /// As [`Fields::list`], and whatever `read` finds wrong in an item.
    pub fn objects<T>(
        &self,
        name: &str,
        read: impl Fn(&Fields<'_>) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        let specs = self.nested(name)?;
        self.items(name)?.into_iter().map(|(path, raw)| read(&read_object(raw, specs, &path)?)).collect()
    }

    fn spec(&self, name: &str) -> Result<&'static ParamSpec, ApiError> {
        let found = self.specs.iter().find(|spec| spec.name == name);
        // only a generator's mistake could get here, and its tests decode every parameter
        found.ok_or_else(|| invalid(name, &format!("The parameter {name} is not declared.")))
    }

    fn nested(&self, name: &str) -> Result<&'static [ParamSpec], ApiError> {
        match self.spec(name)?.kind {
            Kind::Object(specs) | Kind::Objects(specs) => Ok(specs),
            _ => Err(invalid(name, &format!("The parameter {name} is not declared as an object."))),
        }
    }

    fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    fn missing(&self, name: &str) -> ApiError {
        let path = self.path_of(name);
        ApiError {
            message: format!("The parameter {path} is required for this operation."),
            ..ApiError::missing(name)
        }
    }

    fn raw(&self, name: &str) -> Result<Option<Raw<'_>>, ApiError> {
        match &self.source {
            Source::Json(map) => Ok(map.get(name).and_then(raw_of_json)),
            Source::Flat { params, prefix } => {
                flat_raw(params, &format!("{prefix}{name}"), &self.path_of(name))
            }
        }
    }

    /// The items of a list with the path of each, at most as many as declared.
    fn items(&self, name: &str) -> Result<Vec<(String, Raw<'_>)>, ApiError> {
        let (spec, path) = (self.spec(name)?, self.path_of(name));
        let items = match self.raw(name)? {
            None => Vec::new(),
            Some(raw) => list_items(raw, &path)?,
        };
        if items.is_empty() && spec.required {
            return Err(self.missing(name));
        }
        let items_max = spec.items_max.unwrap_or(ITEMS_MAX_DEFAULT);
        if items.len() > items_max {
            let count = items.len();
            let message =
                format!("The parameter {path} takes at most {items_max} items, {count} were given.");
            return Err(invalid(&path, &message));
        }
        Ok(items)
    }

    fn require(&self, name: &str) -> Result<(), ApiError> {
        match self.raw(name)? {
            None => Err(self.missing(name)),
            Some(Raw::Text(text)) if text.is_empty() => Err(self.missing(name)),
            Some(_) => Ok(()),
        }
    }

    fn refuse(&self, spec: &ParamSpec) -> Result<(), ApiError> {
        let harmless = match self.raw(spec.name)? {
            None => true,
            Some(Raw::Text(text)) => is_harmless(&text),
            Some(Raw::Json(value)) => is_harmless(&value.to_string()),
            Some(Raw::Flat { params, prefix }) => params.under(&prefix).all(|(_, value)| is_harmless(value)),
        };
        if harmless {
            return Ok(());
        }
        let path = self.path_of(spec.name);
        Err(ApiError::new(
            ErrorCode::UNSUPPORTED_PARAMETER,
            format!("The parameter {path} is not supported here. Leave it out."),
        ))
    }
}

fn is_harmless(text: &str) -> bool {
    let text = text.trim();
    matches!(text, "" | "{}" | "[]" | "null") || text.eq_ignore_ascii_case("false")
}

fn flat_raw<'a>(params: &'a Params, name: &str, path: &str) -> Result<Option<Raw<'a>>, ApiError> {
    let text = params.get(name);
    let prefix = format!("{name}.");
    let dotted = params.under(&prefix).next().is_some();
    match (text, dotted) {
        (None, false) => Ok(None),
        (Some(text), false) => Ok(Some(Raw::Text(Cow::Borrowed(text)))),
        (None, true) => Ok(Some(Raw::Flat { params, prefix })),
        (Some(_), true) => Err(invalid(
            path,
            &format!("The parameter {path} is given both as one value and as {path}.…; use one form."),
        )),
    }
}

/// `null` is absent.
fn raw_of_json(value: &Value) -> Option<Raw<'static>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Raw::Text(Cow::Owned(text.clone()))),
        other => Some(Raw::Json(other.clone())),
    }
}

fn list_items<'a>(raw: Raw<'a>, path: &str) -> Result<Vec<(String, Raw<'a>)>, ApiError> {
    let wrong = || {
        let message =
            format!("The parameter {path} must be a list: {path}.1, {path}.2 and so on, or a JSON list.");
        invalid(path, &message)
    };
    match raw {
        Raw::Text(text) if text.is_empty() => Ok(Vec::new()),
        Raw::Text(text) => match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => json_items(&items, path),
            _ => Err(wrong()),
        },
        Raw::Json(Value::Array(items)) => json_items(&items, path),
        Raw::Json(_) => Err(wrong()),
        Raw::Flat { params, prefix } => {
            let mut indexes = BTreeMap::new();
            for (rest, _) in params.under(&prefix) {
                let digits = rest.split_once('.').map_or(rest, |(digits, _)| digits);
                let index =
                    digits.parse::<u32>().ok().filter(|index| *index > 0 && digits == index.to_string());
                indexes.insert(index.ok_or_else(wrong)?, digits);
            }
            let mut items = Vec::with_capacity(indexes.len());
            for index in indexes.into_keys() {
                let item_path = format!("{path}.{index}");
                if let Some(raw) = flat_raw(params, &format!("{prefix}{index}"), &item_path)? {
                    items.push((item_path, raw));
                }
            }
            Ok(items)
        }
    }
}

fn json_items<'a>(items: &[Value], path: &str) -> Result<Vec<(String, Raw<'a>)>, ApiError> {
    let item = |(position, value): (usize, &Value)| {
        let item_path = format!("{path}.{}", position + 1);
        match raw_of_json(value) {
            Some(raw) => Ok((item_path, raw)),
            None => Err(invalid(&item_path, &format!("The parameter {item_path} must not be null."))),
        }
    };
    items.iter().enumerate().map(item).collect()
}

fn read_object<'a>(raw: Raw<'a>, specs: &'static [ParamSpec], path: &str) -> Result<Fields<'a>, ApiError> {
    let map = match raw {
        Raw::Flat { params, prefix } => {
            return Fields::new(Source::Flat { params, prefix }, specs, format!("{path}."));
        }
        Raw::Json(Value::Object(map)) => Some(map),
        Raw::Json(_) => None,
        Raw::Text(text) => serde_json::from_str(&text).ok(),
    };
    match map {
        Some(map) => Fields::new(Source::Json(map), specs, format!("{path}.")),
        None => Err(invalid(
            path,
            &format!("The parameter {path} must be an object: {path}.<Field> each, or JSON text."),
        )),
    }
}

fn read_scalar<T: Scalar>(raw: Raw<'_>, spec: &ParamSpec, path: &str) -> Result<Option<T>, ApiError> {
    let text = match raw {
        Raw::Text(text) => text,
        // JSON within JSON text: a number or a nested object where a text is wanted becomes its JSON text
        Raw::Json(value @ (Value::Bool(_) | Value::Number(_))) => Cow::Owned(value.to_string()),
        Raw::Json(value) if T::EMPTY_IS_VALUE => Cow::Owned(value.to_string()),
        Raw::Json(_) | Raw::Flat { .. } => return Err(wrong_scalar::<T>(spec, path)),
    };
    if text.is_empty() && (!T::EMPTY_IS_VALUE || !spec.values.is_empty()) {
        return Ok(None);
    }
    T::read(text, spec).map(Some).ok_or_else(|| wrong_scalar::<T>(spec, path))
}

fn text_fits(text: &str, spec: &ParamSpec) -> bool {
    let listed = spec.values.is_empty() || spec.values.contains(&text);
    if spec.len_min.is_none() && spec.len_max.is_none() {
        return listed;
    }
    let chars = text.chars().count();
    // an empty text leaves an optional parameter unset, whatever its shortest length
    let long_enough = chars == 0 || spec.len_min.is_none_or(|len_min| chars >= len_min);
    listed && long_enough && spec.len_max.is_none_or(|len_max| chars <= len_max)
}

fn wrong_scalar<T: Scalar>(spec: &ParamSpec, path: &str) -> ApiError {
    let wanted = T::WANTED;
    let right = match (spec.min, spec.max, spec.len_min, spec.len_max) {
        _ if !spec.values.is_empty() => format!("one of {}", spec.values.join(", ")),
        (Some(min), Some(max), ..) => format!("{wanted} from {min} to {max}"),
        (Some(min), None, ..) => format!("{wanted} of at least {min}"),
        (None, Some(max), ..) => format!("{wanted} of at most {max}"),
        (.., Some(len_min), Some(len_max)) => format!("{wanted} of {len_min} to {len_max} characters"),
        (.., None, Some(len_max)) => format!("{wanted} of at most {len_max} characters"),
        (.., Some(len_min), None) => format!("{wanted} of at least {len_min} characters"),
        _ => wanted.to_owned(),
    };
    invalid(path, &format!("The parameter {path} must be {right}."))
}

/// `Invalid<Name>` with the name of the top-level parameter, so that the code does not vary with an index.
fn invalid(path: &str, message: &str) -> ApiError {
    let name = path.split_once('.').map_or(path, |(name, _)| name);
    ApiError::invalid(name, message)
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;

//! What a call is about, for whoever decides if it is allowed: the ids in its parameters, read as the operation itself
//! reads them, so that no form of a request names one thing to the check and another to the operation.

use super::fields::Fields;
use super::spec::{Kind, OpSpec};
use crate::error::ApiError;
use crate::params::Params;

/// A type of resource that an operation is about, and where its ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceSpec {
    /// The third part of its name in policies: `ecd` of `acs:ecd:…:desktop/ecd-1`.
    pub product: &'static str,
    /// Its type: `desktop`.
    pub kind: &'static str,
    pub ids: IdSource,
}

/// Where the ids of a resource are. Where there are none, the call is about all of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdSource {
    /// The call is always about all of the type.
    All,
    /// In a parameter, a text or a list of texts.
    Param(&'static str),
    /// The same; where there are none, the call is not about this type, if it is about any other.
    OptionalParam(&'static str),
    /// The same; where there are none, the call is about the caller.
    ParamOrCaller(&'static str),
    /// In a field of the objects of a list.
    Field(&'static str, &'static str),
}

impl OpSpec {
    /// The ids that the parameters name for one of [`OpSpec::resources`]; empty texts count as none.
    ///
    /// # Errors
    /// If the parameter is of another type or outside its limits; that it is missing is left to the operation.
    pub fn resource_ids(&self, resource: &ResourceSpec, params: &Params) -> Result<Vec<String>, ApiError> {
        let (name, field) = match resource.ids {
            IdSource::All => return Ok(Vec::new()),
            IdSource::Param(name) | IdSource::OptionalParam(name) | IdSource::ParamOrCaller(name) => {
                (name, None)
            }
            IdSource::Field(name, field) => (name, Some(field)),
        };
        let position = self.params.iter().position(|param| param.name == name);
        let Some(spec) = position.and_then(|at| self.params.get(at..=at)) else {
            return Err(ApiError::invalid(name, format!("The parameter {name} is not declared.")));
        };
        let fields = Fields::of(params, spec)?;
        let read = match (field, spec.first().map(|param| param.kind)) {
            (Some(field), _) => fields
                .objects(name, |item| item.optional::<String>(field))
                .map(|items| items.into_iter().flatten().collect()),
            (None, Some(Kind::Strings)) => fields.list::<String>(name),
            (None, _) => fields.optional::<String>(name).map(|text| text.into_iter().collect()),
        };
        match read {
            Ok(ids) => Ok(ids.into_iter().filter(|id: &String| !id.is_empty()).collect()),
            Err(error) if error.code == format!("Missing{name}") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

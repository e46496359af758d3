//! Gives settings their types. A struct tells which keys it has, so keys that
//! it has not are found here, for every section alike.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_json::Value;

use super::tree::{Leaf, Tree};

/// The settings in a tree, or what is wrong with them and where.
pub(super) fn from_tree<T: DeserializeOwned>(tree: Tree) -> Result<T, String> {
    T::deserialize(Setting { tree, path: String::new() }).map_err(|problem| problem.message)
}

/// What is wrong; who knows the place adds it.
#[derive(Debug)]
pub(super) struct Problem {
    message: String,
    has_place: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), has_place: false }
    }
}

/// A part of the tree and its dotted key.
struct Setting {
    tree: Tree,
    path: String,
}

impl Setting {
    fn place(&self) -> impl Fn(Problem) -> Problem + use<> {
        let origin = self.tree.origin().unwrap_or("settings").to_owned();
        let path = self.path.clone();
        move |problem| {
            if problem.has_place || path.is_empty() {
                return problem;
            }
            Problem { message: format!("{origin}: `{path}`: {problem}"), has_place: true }
        }
    }

    fn below(path: &str, key: &str) -> String {
        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
    }

    fn refuse_unknown_keys(&self, valid: &'static [&'static str]) -> Result<(), Problem> {
        let Tree::Section(section) = &self.tree else { return Ok(()) };
        let Some((key, value)) = section.iter().find(|(key, _)| !valid.contains(&key.as_str()))
        else {
            return Ok(());
        };
        let nearest = valid.iter().min_by_key(|name| strsim::damerau_levenshtein(key, name));
        let hint = match nearest {
            Some(nearest) => {
                format!(
                    "did you mean `{}`? Valid here: {}",
                    Self::below(&self.path, nearest),
                    valid.join(", ")
                )
            }
            None => "this section has no keys".to_owned(),
        };
        let origin = value.origin().unwrap_or("settings");
        let path = Self::below(&self.path, key);
        Err(Problem { message: format!("{origin}: unknown key `{path}`: {hint}"), has_place: true })
    }

    /// Text becomes the value that it spells; what it does not spell stays text
    /// and fails as such.
    fn spelled<T: std::str::FromStr + Into<Value>>(self) -> Self {
        match self.tree {
            Tree::Leaf { value: Leaf::Text(text), origin } => {
                let value = match text.parse::<T>() {
                    Ok(value) => Leaf::Typed(value.into()),
                    Err(_) => Leaf::Text(text),
                };
                Self { tree: Tree::Leaf { value, origin }, ..self }
            }
            tree => Self { tree, ..self },
        }
    }
}

impl IntoDeserializer<'_, Problem> for Setting {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! deserialize_spelled {
    ($($method:ident as $type:ty,)+) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
                self.spelled::<$type>().deserialize_any(visitor)
            }
        )+
    };
}

impl<'de> Deserializer<'de> for Setting {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let place = self.place();
        let path = self.path;
        match self.tree {
            Tree::Section(section) => visitor.visit_map(settings_below(section, &path)),
            Tree::List(items) => {
                let items = items
                    .into_iter()
                    .enumerate()
                    .map(|(index, tree)| Setting { tree, path: format!("{path}[{index}]") });
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Tree::Leaf { value: Leaf::Text(text), .. } => visitor.visit_string(text),
            Tree::Leaf { value: Leaf::Typed(value), .. } => {
                value.deserialize_any(visitor).map_err(serde::de::Error::custom)
            }
        }
        .map_err(place)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.tree {
            Tree::Leaf { value: Leaf::Typed(Value::Null), .. } => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let place = self.place();
        visitor.visit_newtype_struct(self).map_err(place)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.tree {
            Tree::Leaf { value: Leaf::Text(text), origin } => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Tree::Leaf {
                        value: Leaf::Text(item.to_owned()),
                        origin: origin.clone(),
                    })
                    .collect();
                Self { tree: Tree::List(items), path: self.path }.deserialize_any(visitor)
            }
            tree => Self { tree, ..self }.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.refuse_unknown_keys(fields)?;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let place = self.place();
        match self.tree {
            Tree::Leaf { value: Leaf::Text(text) | Leaf::Typed(Value::String(text)), .. } => {
                visitor.visit_enum(text.into_deserializer())
            }
            _ => {
                Err(serde::de::Error::custom(format_args!("needs one of {}", variants.join(", "))))
            }
        }
        .map_err(place)
    }

    deserialize_spelled! {
        deserialize_bool as bool,
        deserialize_i8 as i64,
        deserialize_i16 as i64,
        deserialize_i32 as i64,
        deserialize_i64 as i64,
        deserialize_u8 as u64,
        deserialize_u16 as u64,
        deserialize_u32 as u64,
        deserialize_u64 as u64,
        deserialize_f32 as f64,
        deserialize_f64 as f64,
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
        ignored_any
    }
}

fn settings_below<'de>(
    section: BTreeMap<String, Tree>,
    path: &str,
) -> MapDeserializer<'de, impl Iterator<Item = (String, Setting)>, Problem> {
    let path = path.to_owned();
    MapDeserializer::new(section.into_iter().map(move |(key, tree)| {
        let path = Setting::below(&path, &key);
        (key, Setting { tree, path })
    }))
}

//! JSON lines: the wanted members of each object, with numbers as they are written.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use types::digest::digest64;

use super::fields::{Fields, Slot};
use super::limits::{JSON_DEPTH_MAX, JSON_MEMBERS_MAX};
use super::map::{Layout, Unknown};

/// Which members are wanted, and where they go.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    root: Node,
    n_slots: usize,
    /// Digests of the keys of the object at hand: its repeats are found without keeping its keys.
    /// A collision could only refuse a row that was made for it.
    seen: Vec<u64>,
}

/// A value that is wanted itself, or whose members are.
#[derive(Debug, Default)]
struct Node {
    slot: Option<usize>,
    members: Vec<(String, Node)>,
}

impl Wanted {
    fn slot(&mut self, path: impl Iterator<Item = String>) -> usize {
        let mut node = &mut self.root;
        for name in path {
            let found = node.members.iter().position(|(n, _)| *n == name);
            let index = found.unwrap_or(node.members.len());
            if found.is_none() {
                node.members.push((name, Node::default()));
            }
            let Some((_, member)) = node.members.get_mut(index) else { break };
            node = member;
        }
        let n_slots = &mut self.n_slots;
        *node.slot.get_or_insert_with(|| {
            *n_slots += 1;
            *n_slots - 1
        })
    }

    /// Finds the wanted members of a row.
    ///
    /// # Errors
    /// Why it isn't an object that can be read.
    pub(super) fn split(&mut self, raw: &[u8], fields: &mut Fields) -> Result<(), String> {
        fields.reset(self.n_slots);
        let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8".to_owned())?;
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            return Err("not a JSON object".to_owned());
        }
        let origin = raw.as_ptr().addr();
        let mut walk = Walk { origin, raw, fields, seen: &mut self.seen };
        check_depth(text)?;
        walk.object(&self.root, text)
    }
}

impl Layout for Wanted {
    fn column(&mut self, name: &str) -> Result<usize, Unknown> {
        Ok(self.slot(std::iter::once(name.to_owned())))
    }

    fn maybe_column(&mut self, name: &str) -> Result<Option<usize>, Unknown> {
        self.column(name).map(Some)
    }

    fn pointer(&mut self, pointer: &str) -> Result<usize, Unknown> {
        let Some(path) = pointer.strip_prefix('/') else {
            return Err(Unknown {
                message: format!("`{pointer}` isn't a JSON pointer"),
                hint: Some("a pointer starts with a slash: `/data/p`".to_owned()),
            });
        };
        Ok(self.slot(path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"))))
    }
}

/// One row's walk.
struct Walk<'a> {
    /// Where the row's bytes start, for turning borrowed texts back into ranges.
    origin: usize,
    raw: &'a [u8],
    fields: &'a mut Fields,
    seen: &'a mut Vec<u64>,
}

impl Walk<'_> {
    fn object(&mut self, node: &Node, text: &str) -> Result<(), String> {
        self.seen.clear();
        let mut found = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(text);
        let visitor = Members { node, seen: self.seen, found: &mut found };
        reader.deserialize_map(visitor).and_then(|()| reader.end()).map_err(|e| e.to_string())?;
        self.seen.sort_unstable();
        if self.seen.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err("a member stands twice in its object".to_owned());
        }
        self.values(found)
    }

    fn array(&mut self, node: &Node, text: &str) -> Result<(), String> {
        let mut found = Vec::new();
        let mut reader = serde_json::Deserializer::from_str(text);
        let visitor = Items { node, found: &mut found };
        reader.deserialize_seq(visitor).and_then(|()| reader.end()).map_err(|e| e.to_string())?;
        self.values(found)
    }

    fn values(&mut self, found: Vec<(&Node, &RawValue)>) -> Result<(), String> {
        for (member, value) in found {
            let text = value.get();
            if let Some(slot) = member.slot {
                let place = self.place(text)?;
                self.fields.set(slot, place);
            }
            match text.as_bytes().first() {
                Some(b'{') if !member.members.is_empty() => self.object(member, text)?,
                Some(b'[') if !member.members.is_empty() => self.array(member, text)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Where a value's text is: of a string what stands between its quotes, of all else its JSON.
    fn place(&mut self, text: &str) -> Result<Slot, String> {
        if text == "null" {
            return Ok(Slot::Absent);
        }
        let start = text.as_ptr().addr() - self.origin;
        let end = start + text.len();
        if !text.starts_with('"') {
            return Ok(Slot::Raw(start, end));
        }
        let inner = (start + 1, end.saturating_sub(1));
        let bytes = self.raw.get(inner.0..inner.1).unwrap_or_default();
        if memchr::memchr(b'\\', bytes).is_none() {
            return Ok(Slot::Raw(inner.0, inner.1));
        }
        let string: String = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(self.fields.unescaped(|scratch| scratch.extend_from_slice(string.as_bytes())))
    }
}

/// Refuses what nests too deep; brackets inside strings don't count.
fn check_depth(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let n_open = memchr::memchr2_iter(b'{', b'[', bytes).take(JSON_DEPTH_MAX + 1).count();
    if n_open <= JSON_DEPTH_MAX {
        return Ok(());
    }
    let (mut depth, mut in_string, mut is_escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(format!("nested deeper than {JSON_DEPTH_MAX}"));
        }
    }
    Ok(())
}

/// Collects an object's wanted members and the digests of all its keys.
struct Members<'a, 'n, 'de> {
    node: &'n Node,
    seen: &'a mut Vec<u64>,
    found: &'a mut Vec<(&'n Node, &'de RawValue)>,
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(Key { node: self.node, seen: self.seen })? {
            if self.seen.len() > JSON_MEMBERS_MAX {
                return Err(serde::de::Error::custom("more than 10,000 members"));
            }
            match member {
                Some(member) => self.found.push((member, map.next_value()?)),
                None => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads a key: which member it is, if it is wanted.
struct Key<'a, 'n> {
    node: &'n Node,
    seen: &'a mut Vec<u64>,
}

impl<'de, 'n> DeserializeSeed<'de> for Key<'_, 'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'_, 'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        self.seen.push(digest64(key.as_bytes()));
        Ok(self.node.members.iter().find(|(name, _)| name == key).map(|(_, node)| node))
    }
}

/// Collects an array's wanted items: pointers name them by their number.
struct Items<'a, 'n, 'de> {
    node: &'n Node,
    found: &'a mut Vec<(&'n Node, &'de RawValue)>,
}

impl<'de> Visitor<'de> for Items<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        while let Some(value) = items.next_element::<&'de RawValue>()? {
            let is_this = |name: &str| name.parse() == Ok(index);
            if let Some((_, node)) = self.node.members.iter().find(|(name, _)| is_this(name)) {
                self.found.push((node, value));
            }
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::RowView;
    use super::*;

    fn read(line: &str, wanted: &[&str]) -> Result<Vec<Option<String>>, String> {
        let mut layout = Wanted::default();
        let slots: Vec<usize> = wanted
            .iter()
            .map(|w| layout.pointer(w).unwrap_or_else(|u| panic!("{}", u.message)))
            .collect();
        let mut fields = Fields::default();
        layout.split(line.as_bytes(), &mut fields)?;
        let view = RowView { raw: line.as_bytes(), fields: &fields };
        let text = |slot| view.get(slot).map(|b| String::from_utf8(b.to_vec()).unwrap());
        Ok(slots.into_iter().map(text).collect())
    }

    #[test]
    fn members_are_found_and_numbers_keep_their_text() {
        for (line, pointer, text) in [
            (r#"{"p":0.1000000000000000000001}"#, "/p", Some("0.1000000000000000000001")),
            (r#" {"p" : 3e-04 , "q":[] }"#, "/p", Some("3e-04")),
            (r#"{"p":"a\"b\u00e9"}"#, "/p", Some("a\"b\u{e9}")),
            (r#"{"p":"plain"}"#, "/p", Some("plain")),
            (r#"{"p":null}"#, "/p", None),
            (r#"{"p":true}"#, "/p", Some("true")),
            (r#"{"q":1}"#, "/p", None),
            (r#"{"data":{"x":{"p":5}}}"#, "/data/x/p", Some("5")),
            (r#"{"data":[{"p":5},{"p":6}]}"#, "/data/1/p", Some("6")),
            (r#"{"data":3}"#, "/data/p", None),
            (r#"{"a/b":{"~":7}}"#, "/a~1b/~0", Some("7")),
            (r#"{"p":{"x":1}}"#, "/p", Some(r#"{"x":1}"#)),
        ] {
            assert_eq!(read(line, &[pointer]).unwrap(), [text.map(str::to_owned)], "{line}");
        }
        let both = read(r#"{"p":{"x":1}}"#, &["/p", "/p/x"]).unwrap();
        assert_eq!(both, [Some(r#"{"x":1}"#.to_owned()), Some("1".to_owned())]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!("{{\"q\":{}1{}}}", "[".repeat(40), "]".repeat(40));
        let many: Vec<String> = (0..=JSON_MEMBERS_MAX).map(|i| format!("\"m{i}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        for line in [
            "",
            "1",
            "[]",
            "{",
            r#"{"p":1"#,
            r#"{"p":1}x"#,
            r#"{"p":1,"p":1}"#,
            r#"{"q":1,"q":2}"#,
            r#"{"p":{"x":1,"x":2}}"#,
            r#"{"p":"\ud800"}"#,
            r#"{"p":NaN}"#,
            r"{p:1}",
            r#"{"p":01}"#,
            &deep,
            &many,
        ] {
            assert!(read(line, &["/p", "/p/x"]).is_err(), "{line}");
        }
        let brackets = format!("{{\"p\":\"{}\"}}", "[".repeat(40));
        assert_eq!(read(&brackets, &["/p"]).unwrap(), [Some("[".repeat(40))]);
    }
}

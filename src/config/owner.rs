//! Who owns the markers: a user and a group as an operator writes them, looked up when they are needed.
//!
//! Apart because it is the one setting that asks the machine (its user database) rather than the file. The
//! lookup is not kept: users come and go while a daemon runs. Changing a file's owner is left to `commit`.

use std::fmt;
use std::str::FromStr;

use nix::unistd::{Group, Uid, User};

/// Names or numbers of a user and a group, `user:group` or `user` alone for that user's own group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkerOwner {
    user: String,
    group: Option<String>,
}

impl Default for MarkerOwner {
    /// `sensor:sensor`, whom Malcolm's sensors run as.
    fn default() -> Self {
        Self {
            user: "sensor".to_owned(),
            group: Some("sensor".to_owned()),
        }
    }
}

impl FromStr for MarkerOwner {
    type Err = NotAnOwner;

    fn from_str(text: &str) -> Result<Self, NotAnOwner> {
        let (user, group) = text
            .split_once(':')
            .map_or((text, None), |(user, group)| (user, Some(group)));
        let is_name = |name: &str| !name.is_empty() && !name.contains([':', '\0']);
        if !is_name(user) || group.is_some_and(|group| !is_name(group)) {
            return Err(NotAnOwner);
        }
        Ok(Self {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

impl fmt::Display for MarkerOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.user)?;
        self.group
            .as_ref()
            .map_or(Ok(()), |group| write!(formatter, ":{group}"))
    }
}

impl MarkerOwner {
    /// The user's and the group's id; `None` where this machine has no such user or group, and markers stay
    /// this process's own.
    #[must_use]
    pub fn resolve(&self) -> Option<(u32, u32)> {
        self.look_up().ok()
    }

    /// As [`MarkerOwner::resolve`], telling which of the two is missing.
    pub(super) fn look_up(&self) -> Result<(u32, u32), Unknown> {
        let user = User::from_name(&self.user)
            .ok()
            .flatten()
            .or_else(|| User::from_uid(Uid::from_raw(id(&self.user)?)).ok().flatten());
        let user_id = user
            .as_ref()
            .map(|user| user.uid.as_raw())
            .or_else(|| id(&self.user))
            .ok_or_else(|| Unknown::User(self.user.clone()))?;
        let group_id = match &self.group {
            None => user
                .map(|user| user.gid.as_raw())
                .ok_or_else(|| Unknown::GroupOf(self.user.clone()))?,
            Some(name) => Group::from_name(name)
                .ok()
                .flatten()
                .map(|group| group.gid.as_raw())
                .or_else(|| id(name))
                .ok_or_else(|| Unknown::Group(name.clone()))?,
        };
        Ok((user_id, group_id))
    }
}

/// The id that `text` writes in digits. The highest is none: chown(2) takes it for "leave as it is".
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&id| id != u32::MAX)
}

/// The text is neither `user` nor `user:group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither user nor user:group")]
pub struct NotAnOwner;

/// What a machine does not know about an owner.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unknown {
    #[error("this machine has no user \"{0}\"")]
    User(String),
    #[error("this machine has no group \"{0}\"")]
    Group(String),
    #[error("this machine does not know the group of user {0}; write {0}:group")]
    GroupOf(String),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn look_up(text: &str) -> Result<(u32, u32), Unknown> {
        text.parse::<MarkerOwner>().unwrap().look_up()
    }

    #[test]
    fn names_and_numbers_are_looked_up_and_a_user_alone_brings_its_group() {
        assert_eq!(look_up("root:root"), Ok((0, 0)));
        assert_eq!(look_up("root"), Ok((0, 0)));
        assert_eq!(look_up("0"), Ok((0, 0)));
        assert_eq!(
            look_up("3999999991:3999999992"),
            Ok((3_999_999_991, 3_999_999_992))
        );
    }

    #[test]
    fn what_the_machine_does_not_know_is_told_apart() {
        let nobody = "no-such-user-here".to_owned();
        assert_eq!(
            look_up("no-such-user-here:root"),
            Err(Unknown::User(nobody.clone()))
        );
        assert_eq!(look_up("root:no-such-user-here"), Err(Unknown::Group(nobody)));
        assert_eq!(
            look_up("3999999991"),
            Err(Unknown::GroupOf("3999999991".to_owned()))
        );
        assert_eq!(
            look_up("4294967295:0"),
            Err(Unknown::User("4294967295".to_owned()))
        );
    }

    #[test]
    fn only_one_colon_and_no_empty_part() {
        for text in ["", ":", "user:", ":group", "a:b:c", "a\0b"] {
            assert_eq!(text.parse::<MarkerOwner>(), Err(NotAnOwner), "{text:?}");
        }
    }
}

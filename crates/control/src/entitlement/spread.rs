//! How BatchModifyEntitlement shares users out: a pure function.

/// How to share out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// In turn: nobody has two more than another.
    #[default]
    Average,
    /// One is filled before the next is begun.
    Central,
}

/// Most partners of one; `None` for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    pub runtimes_per_user: Option<usize>,
    pub users_per_runtime: Option<usize>,
}

/// The users of each runtime, by index. Of runtimes and users, each of those that are more gets one partner of the
/// others, until these have as many as they may; what is left then stays without. Without users, all stay without.
pub fn spread(runtimes: usize, users: usize, strategy: Strategy, caps: Caps) -> Vec<Vec<usize>> {
    let mut shares = vec![Vec::new(); runtimes];
    let users_are_more = users >= runtimes;
    let (many, few, cap) = if users_are_more {
        (users, runtimes, caps.users_per_runtime)
    } else {
        (runtimes, users, caps.runtimes_per_user)
    };
    if few == 0 {
        return shares;
    }
    let cap = cap.unwrap_or(many).max(1);
    for index in 0..many {
        let (partner, place) = match strategy {
            Strategy::Average => (index % few, index / few),
            Strategy::Central => (index / cap, index % cap),
        };
        if partner >= few || place >= cap {
            break;
        }
        let (runtime, user) = if users_are_more { (partner, index) } else { (index, partner) };
        if let Some(share) = shares.get_mut(runtime) {
            share.push(user);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn caps(runtimes_per_user: usize, users_per_runtime: usize) -> Caps {
        let cap = |n| Some(n).filter(|n| *n > 0);
        Caps { runtimes_per_user: cap(runtimes_per_user), users_per_runtime: cap(users_per_runtime) }
    }

    #[test]
    fn average_takes_turns_and_central_fills() {
        use Strategy::{Average, Central};
        let cases = [
            (2, 4, Average, caps(0, 0), vec![vec![0, 2], vec![1, 3]]),
            (2, 4, Central, caps(0, 0), vec![vec![0, 1, 2, 3], vec![]]),
            (2, 4, Central, caps(0, 3), vec![vec![0, 1, 2], vec![3]]),
            (2, 5, Average, caps(0, 2), vec![vec![0, 2], vec![1, 3]]),
            (4, 2, Average, caps(0, 0), vec![vec![0], vec![1], vec![0], vec![1]]),
            (4, 2, Average, caps(1, 0), vec![vec![0], vec![1], vec![], vec![]]),
            (4, 2, Central, caps(3, 0), vec![vec![0], vec![0], vec![0], vec![1]]),
            (2, 0, Average, caps(0, 0), vec![vec![], vec![]]),
            (0, 2, Average, caps(0, 0), vec![]),
        ];
        for (runtimes, users, strategy, caps, expected) in cases {
            assert_eq!(
                spread(runtimes, users, strategy, caps),
                expected,
                "{runtimes} {users} {strategy:?} {caps:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn caps_hold_and_none_goes_without_while_there_is_room(
            runtimes in 0usize..40,
            users in 0usize..40,
            per_user in 0usize..6,
            per_runtime in 0usize..6,
            central: bool,
        ) {
            let caps = caps(per_user, per_runtime);
            let strategy = if central { Strategy::Central } else { Strategy::Average };
            let shares = spread(runtimes, users, strategy, caps);
            prop_assert_eq!(shares.len(), runtimes);
            let of_user: Vec<usize> =
                (0..users).map(|user| shares.iter().filter(|share| share.contains(&user)).count()).collect();
            for share in &shares {
                let mut once = share.clone();
                once.dedup();
                prop_assert!(once.len() == share.len() && share.iter().all(|user| *user < users));
                prop_assert!(caps.users_per_runtime.is_none_or(|cap| share.len() <= cap));
            }
            prop_assert!(of_user.iter().all(|count| caps.runtimes_per_user.is_none_or(|cap| *count <= cap)));
            let of_runtime: Vec<usize> = shares.iter().map(Vec::len).collect();
            let (many, few, cap) = if users >= runtimes {
                (&of_user, &of_runtime, caps.users_per_runtime)
            } else {
                (&of_runtime, &of_user, caps.runtimes_per_user)
            };
            let room = cap.map_or(many.len(), |cap| cap * few.len());
            let served = many.iter().filter(|count| **count == 1).count();
            prop_assert_eq!(served, if few.is_empty() { 0 } else { many.len().min(room) });
            if strategy == Strategy::Average && let (Some(most), Some(least)) = (few.iter().max(), few.iter().min()) {
                prop_assert!(most - least <= 1);
            }
        }
    }
}

use super::*;
use proptest::prelude::*;

#[test]
fn past_its_bound_a_set_folds_and_forgets_nothing() {
    let mut dirty = DirtySet::new(DirtyLimits { keys_max: 10, bytes_max: 1 << 20 });
    for n in 0..1000_u32 {
        dirty.mark(0, &n.to_le_bytes());
    }
    assert_eq!(dirty.keys(), 10);
    assert!(dirty.buckets() > 900);
    assert!((0..1000_u32).all(|n| dirty.contains(0, &n.to_le_bytes())));
}

#[test]
fn long_keys_fold_at_the_bound_in_bytes() {
    let mut dirty = DirtySet::new(DirtyLimits { keys_max: 1000, bytes_max: 1000 });
    dirty.mark(0, &[b'a'; 900]);
    dirty.mark(0, &[b'b'; 900]);
    assert_eq!((dirty.keys(), dirty.buckets()), (1, 1));
}

#[test]
fn a_copy_in_pieces_goes_on_until_the_key_is_marked_or_another_copy_takes_over() {
    let mut dirty = DirtySet::new(DirtyLimits::default());
    dirty.mark(0, b"k");
    assert!(!dirty.begin_pieces(0, b"k", 7), "nobody copies it");
    assert!(dirty.begin_copy(0, b"k"));
    dirty.mark(0, b"k"); // ahead of the first piece
    assert!(dirty.begin_pieces(0, b"k", 7));
    assert_eq!((dirty.may_go_on(0, b"k", 7), dirty.may_go_on(0, b"k", 8)), (Some(true), None));
    dirty.mark(0, b"k");
    assert_eq!((dirty.may_go_on(0, b"k", 7), dirty.is_in_pieces(0, b"k")), (Some(false), false));
    dirty.not_copied(0, b"k");
    assert!(dirty.begin_copy(0, b"k") && dirty.begin_pieces(0, b"k", 8));
    assert_eq!(dirty.may_go_on(0, b"k", 7), None);
    dirty.end_pieces(0, b"k");
    dirty.copied(0, b"k", 5, false);
    assert!(dirty.is_empty() && dirty.is_unconfirmed(0, b"k") && !dirty.is_mended(0, b"k"));
    dirty.confirmed(0, b"k");
    assert!(dirty.is_settled());
}

#[test]
fn a_flush_cleans_its_database_alone_and_a_swap_follows_the_keys() {
    let mut dirty = DirtySet::new(DirtyLimits::default());
    dirty.mark(1, b"k");
    dirty.mark(2, b"k");
    dirty.swapped(2, 5);
    dirty.flushed_db(1);
    assert!(!dirty.contains(1, b"k") && !dirty.contains(2, b"k") && dirty.contains(5, b"k"));
    dirty.flushed_all();
    assert!(dirty.is_empty());
}

#[test]
fn everything_is_dirty_in_every_database_until_all_is_flushed() {
    let mut dirty = DirtySet::new(DirtyLimits::default());
    dirty.mark_everything();
    assert!(dirty.contains(0, b"a") && dirty.contains(9, b"b"));
    dirty.flushed_db(0);
    assert!(dirty.contains(0, b"a"));
    dirty.flushed_all();
    assert!(dirty.is_empty());
}

proptest! {
    #[test]
    fn a_marked_key_is_dirty_whatever_the_bounds(keys in prop::collection::vec((0..3_u32, prop::collection::vec(any::<u8>(), 0..20)), 0..50), keys_max in 0..40_usize, bytes_max in 0..2000_usize) {
        let mut dirty = DirtySet::new(DirtyLimits { keys_max, bytes_max });
        for (db, key) in &keys {
            dirty.mark(*db, key);
        }
        prop_assert!(dirty.keys() <= keys_max);
        prop_assert!(keys.iter().all(|(db, key)| dirty.contains(*db, key)));
        prop_assert_eq!(dirty.is_empty(), keys.is_empty());
    }
}

package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/disk"
)

// stepper is a driver that does something around each call: it fails one, or lets another
// process come between two.
type stepper struct {
	storagedriver.StorageDriver
	calls  atomic.Int64
	before func(call int64) error
	after  func(call int64) error
}

func (s *stepper) step(do func() error) error {
	call := s.calls.Add(1)
	if s.before != nil {
		if err := s.before(call); err != nil {
			return err
		}
	}
	err := do()
	if s.after != nil {
		if failed := s.after(call); failed != nil {
			return failed
		}
	}
	return err
}

func (s *stepper) GetContent(ctx context.Context, path string) (content []byte, err error) {
	err = s.step(func() error { content, err = s.StorageDriver.GetContent(ctx, path); return err })
	return content, err
}

func (s *stepper) PutContent(ctx context.Context, path string, content []byte) error {
	return s.step(func() error { return s.StorageDriver.PutContent(ctx, path, content) })
}

func (s *stepper) Stat(ctx context.Context, path string) (info storagedriver.FileInfo, err error) {
	err = s.step(func() error { info, err = s.StorageDriver.Stat(ctx, path); return err })
	return info, err
}

func (s *stepper) List(ctx context.Context, path string) (names []string, err error) {
	err = s.step(func() error { names, err = s.StorageDriver.List(ctx, path); return err })
	return names, err
}

func (s *stepper) Move(ctx context.Context, from, to string) error {
	return s.step(func() error { return s.StorageDriver.Move(ctx, from, to) })
}

func (s *stepper) Delete(ctx context.Context, path string) error {
	return s.step(func() error { return s.StorageDriver.Delete(ctx, path) })
}

// diskStepper is a stepper with the shortcuts of package disk.
type diskStepper struct {
	*stepper
	disk *disk.Driver
}

func (s diskStepper) PutUnsynced(ctx context.Context, path string, content []byte) error {
	return s.step(func() error { return s.disk.PutUnsynced(ctx, path, content) })
}

func (s diskStepper) MoveUnsynced(ctx context.Context, from, to string) error {
	return s.step(func() error { return s.disk.MoveUnsynced(ctx, from, to) })
}

func (s diskStepper) SyncFolders(ctx context.Context, paths ...string) error {
	return s.step(func() error { return s.disk.SyncFolders(ctx, paths...) })
}

// stepping returns a store whose calls of storage are steps.
func stepping(t *testing.T, st storage) (*blobstore.Store, *stepper) {
	t.Helper()
	steps := &stepper{StorageDriver: st.driver}
	if d, ok := st.driver.(*disk.Driver); ok {
		return storeOf(t, diskStepper{steps, d}), steps
	}
	return storeOf(t, steps), steps
}

// everyCall runs a test for each call of storage that an operation makes, until the
// operation makes no more.
func everyCall(t *testing.T, test func(call int64) (calls int64)) {
	t.Helper()
	for call := int64(1); ; call++ {
		if calls := test(call); calls < call {
			return
		}
		if t.Failed() {
			t.Fatalf("at call %d", call)
		}
	}
}

var errBroken = errors.New("storage is broken")

// faults are the ways in which a call fails.
var faults = map[string]func(steps *stepper, at int64){
	"before its effect": func(steps *stepper, at int64) { steps.before = failsAt(at) },
	"after its effect":  func(steps *stepper, at int64) { steps.after = failsAt(at) },
	"and all that follow": func(steps *stepper, at int64) {
		steps.before = func(call int64) error {
			if call >= at {
				return errBroken
			}
			return nil
		}
	},
}

func failsAt(at int64) func(int64) error {
	return func(call int64) error {
		if call == at {
			return errBroken
		}
		return nil
	}
}

// linkStates are what an operation can find of a link.
var linkStates = map[string]func(t *testing.T, st storage, d digest.Digest){
	"nothing":         func(*testing.T, storage, digest.Digest) {},
	"linked":          linkedBy(web),
	"uploaded":        linkedBy(web.Uploads()),
	"both":            linkedBy(web, web.Uploads()),
	"another's":       linkedBy(next),
	"all":             linkedBy(next, web, web.Uploads()),
	"of distribution": func(t *testing.T, st storage, d digest.Digest) { unownedLink(t, st, "_layers", d) },
}

func linkedBy(owners ...blobstore.Repository) func(t *testing.T, st storage, d digest.Digest) {
	return func(t *testing.T, st storage, d digest.Digest) {
		t.Helper()
		for _, r := range owners {
			must(t, storeOf(t, st.driver).LinkBlob(t.Context(), r, d))
		}
	}
}

// emptied removes the repository.
func emptied(t *testing.T, st storage) {
	t.Helper()
	err := st.driver.Delete(t.Context(), "/docker/registry/v2/repositories")
	var none storagedriver.PathNotFoundError
	if err != nil && !errors.As(err, &none) {
		t.Fatal(err)
	}
}

// testLinkFaults fails every call of storage once: what was others' stays so, nothing is
// left to strangers, and the next try brings it to its end.
func testLinkFaults(t *testing.T, st storage) {
	ctx, d := t.Context(), digest.FromString("x")
	for name, op := range map[string]struct {
		do   func(s *blobstore.Store) error
		has  bool // what web has in the end
		took []string
	}{
		"link":         {func(s *blobstore.Store) error { return s.LinkBlob(ctx, web, d) }, true, []string{shopUID}},
		"link upload":  {func(s *blobstore.Store) error { return s.LinkBlob(ctx, web.Uploads(), d) }, true, nil},
		"unlink":       {func(s *blobstore.Store) error { return ignoring(s.UnlinkBlob(ctx, web, d)) }, false, []string{webUID, shopUID}},
		"remove owner": {func(s *blobstore.Store) error { return s.RemoveOwner(ctx, repo, webUID, time.Time{}) }, false, []string{webUID}},
	} {
		for state, prepare := range linkStates {
			for fault, inject := range faults {
				if st.driver.Name() == "s3aws" && (state == "linked" || state == "both" || fault == "and all that follow") {
					continue // a server takes its time
				}
				everyCall(t, func(call int64) int64 {
					emptied(t, st)
					prepare(t, st, d)
					others := slices.Contains(filesOf(t, st, linkFolder("_layers", d)), nextUID)
					s, steps := stepping(t, st)
					inject(steps, call)
					err := op.do(s)
					calls := steps.calls.Load()
					what := fmt.Sprintf("%s of %s, call %d fails %s: ", name, state, call, fault)
					if calls >= call && err != nil && !errors.Is(err, errBroken) {
						t.Error(what, err)
					}
					steps.before, steps.after = nil, nil
					fresh := forgetful(t, st)
					if state != "of distribution" {
						wantHas(t, fresh, foreign, d, false)
					}
					if others != has(t, fresh, blobstore.Repository{Name: repo, Stream: nextUID}, d) && state != "of distribution" {
						t.Error(what, "another owner has lost it, or has got it")
					}
					if err := op.do(s); err != nil {
						t.Error(what, "again: ", err)
					}
					wantComplete(t, st, d)
					if !op.has && state != "of distribution" || op.has {
						want := op.has || name == "remove owner" && slices.Contains(filesOf(t, st, linkFolder("_layers", d)), shopUID)
						wantHas(t, fresh, web, d, want)
						wantHas(t, s, web, d, want)
					}
					for _, uid := range op.took {
						if slices.Contains(filesOf(t, st, linkFolder("_layers", d)), uid) {
							t.Error(what, uid, " is left")
						}
					}
					if t.Failed() {
						t.Fatal(what)
					}
					return calls
				})
			}
		}
	}
}

// ignoring passes over a link that is gone.
func ignoring(err error) error {
	if errors.Is(err, blobstore.ErrUnknown) {
		return nil
	}
	return err
}

func has(t *testing.T, s *blobstore.Store, r blobstore.Repository, d digest.Digest) bool {
	t.Helper()
	got, err := s.HasBlob(t.Context(), r, d)
	must(t, err)
	return got
}

// wantComplete holds that a link with owners has the file that distribution reads, and that
// one that all owners lost has none.
func wantComplete(t *testing.T, st storage, d digest.Digest) {
	t.Helper()
	files := withoutReleased(filesOf(t, st, linkFolder("_layers", d)))
	if len(files) == 0 {
		return
	}
	content, err := st.driver.GetContent(t.Context(), linkFolder("_layers", d)+"/link")
	if err != nil || string(content) != string(d) {
		t.Errorf("files %q, and link holds %q, %v", files, content, err)
	}
}

// What fails while a stream takes the unowned links leaves none that Owners does not know.
func TestAdoptionFaults(t *testing.T) {
	st, d := storage{driver: onDisk(t, t.TempDir())}, digest.FromString("x")
	for fault, inject := range faults {
		everyCall(t, func(call int64) int64 {
			emptied(t, st)
			unownedLink(t, st, "_layers", d)
			s, steps := stepping(t, st)
			inject(steps, call)
			_, err := s.HasBlob(t.Context(), web, d)
			calls := steps.calls.Load()
			if err != nil {
				wantIs(t, err, errBroken)
			}
			content, _ := st.driver.GetContent(t.Context(), "/docker/registry/v2/repositories/"+repo+"/_owners/unowned")
			owners, err := s.Owners(t.Context(), repo)
			steps.before, steps.after = nil, nil
			if len(content) > 0 && err == nil && !slices.Contains(owners, string(content)) {
				t.Errorf("call %d fails %s: unowned is of %s, owners are %q", call, fault, content, owners)
			}
			wantHas(t, s, web, d, true)
			wantHas(t, s, next, d, false)
			wantOwners(t, s, repo, webUID)
			return calls
		})
	}
}

// testNeverAlone looks after every call of storage: at no time does a link lie there in a
// way that a stranger could take for one without owner.
func testNeverAlone(t *testing.T, st storage) {
	ctx, d := t.Context(), digest.FromString("x")
	for state, prepare := range linkStates {
		if state == "of distribution" {
			continue
		}
		for name, do := range map[string]func(s *blobstore.Store) error{
			"link":                 func(s *blobstore.Store) error { return s.LinkBlob(ctx, web, d) },
			"link upload":          func(s *blobstore.Store) error { return s.LinkBlob(ctx, web.Uploads(), d) },
			"unlink":               func(s *blobstore.Store) error { return ignoring(s.UnlinkBlob(ctx, web, d)) },
			"remove stream":        func(s *blobstore.Store) error { return s.RemoveOwner(ctx, repo, webUID, time.Time{}) },
			"remove namespace":     func(s *blobstore.Store) error { return s.RemoveOwner(ctx, repo, shopUID, time.Time{}) },
			"remove former stream": func(s *blobstore.Store) error { return s.RemoveOwner(ctx, repo, nextUID, time.Time{}) },
		} {
			emptied(t, st)
			prepare(t, st, d)
			s, steps := stepping(t, st)
			stranger := forgetful(t, st)
			steps.after = func(call int64) error {
				if has(t, stranger, foreign, d) {
					t.Fatalf("%s of %s: a stranger has it after call %d", name, state, call)
				}
				return nil
			}
			must(t, do(s))
		}
	}
}

// testTwoAtOnce has another process do something between each two calls of storage.
func testTwoAtOnce(t *testing.T, st storage) {
	ctx, d, subject := t.Context(), digest.FromString("x"), digest.FromString("subject")
	referrer := ocispec.Descriptor{MediaType: "a/b", Digest: d}
	type store = blobstore.Store
	for name, test := range map[string]struct {
		prepare     func(s *store) error
		do, between func(s *store) error
		here        bool // the other one is a request of the same process
		check       func(t *testing.T, s *store)
	}{
		"two owners are removed": {
			prepare: func(s *store) error { return errors.Join(s.LinkBlob(ctx, web, d), s.LinkBlob(ctx, next, d)) },
			do:      func(s *store) error { return s.RemoveOwner(ctx, repo, webUID, time.Time{}) },
			between: func(s *store) error { return s.RemoveOwner(ctx, repo, nextUID, time.Time{}) },
			check: func(t *testing.T, s *store) {
				for _, r := range []blobstore.Repository{foreign, web, next} {
					wantHas(t, s, r, d, false)
				}
			},
		},
		"another owner links": {
			prepare: func(s *store) error {
				return errors.Join(s.LinkBlob(ctx, web, d), s.LinkManifest(ctx, web, d), s.AddReferrer(ctx, repo, subject, referrer))
			},
			do: func(s *store) error { return s.RemoveOwner(ctx, repo, webUID, time.Time{}) },
			between: func(s *store) error {
				return errors.Join(s.LinkBlob(ctx, next, d), s.LinkManifest(ctx, next, d), s.AddReferrer(ctx, repo, subject, referrer))
			},
			check: func(t *testing.T, s *store) {
				for _, kind := range kindsOf(s) {
					kind.want(t, d, true, next)
					kind.want(t, d, false, web, foreign)
				}
				wantReferrers(t, s, repo, subject, d)
			},
		},
		"the next stream reads an upload's link": {
			prepare: func(s *store) error { return s.LinkBlob(ctx, web.Uploads(), d) },
			do:      func(s *store) error { return s.LinkBlob(ctx, web, d) },
			between: func(s *store) error { return second(s.HasBlob(ctx, next, d)) },
			here:    true,
			check: func(t *testing.T, s *store) {
				wantHas(t, s, next, d, false)
				wantHas(t, s, web, d, true)
			},
		},
		"one unlinks while the other one links": {
			prepare: func(*store) error { return nil },
			do:      func(s *store) error { return s.LinkBlob(ctx, web, d) },
			between: func(s *store) error { return ignoring(s.UnlinkBlob(ctx, web, d)) },
			here:    true,
			check: func(t *testing.T, s *store) {
				wantHas(t, s, web, d, has(t, forgetful(t, st), web, d))
				wantHas(t, s, foreign, d, false)
			},
		},
		"one links while the other one unlinks": {
			prepare: func(s *store) error { return s.LinkBlob(ctx, web, d) },
			do:      func(s *store) error { return ignoring(s.UnlinkBlob(ctx, web, d)) },
			between: func(s *store) error { return s.LinkBlob(ctx, web, d) },
			here:    true,
			check: func(t *testing.T, s *store) {
				wantHas(t, s, web, d, has(t, forgetful(t, st), web, d))
				wantHas(t, s, foreign, d, false)
			},
		},
		"the upload's link is removed while it becomes the stream's": {
			prepare: func(s *store) error { return s.LinkBlob(ctx, web.Uploads(), d) },
			do:      func(s *store) error { return s.LinkBlob(ctx, web, d) },
			between: func(s *store) error { return s.RemoveOwner(ctx, repo, shopUID, time.Time{}) },
			check: func(t *testing.T, s *store) {
				wantHas(t, s, web, d, true)
				wantHas(t, s, next, d, false)
			},
		},
	} {
		everyCall(t, func(at int64) int64 {
			emptied(t, st)
			must(t, test.prepare(storeOf(t, st.driver)))
			s, steps := stepping(t, st)
			elsewhere := storeOf(t, st.driver)
			if test.here {
				elsewhere = s
			}
			calls := int64(0)
			steps.after = func(int64) error {
				if calls++; calls != at {
					return nil
				}
				steps.after = nil // what comes between is one piece
				must(t, test.between(elsewhere))
				calls = at
				steps.after = func(int64) error { calls++; return nil }
				return nil
			}
			must(t, test.do(s))
			if calls >= at {
				for _, s := range []*store{s, storeOf(t, st.driver)} {
					test.check(t, s)
				}
			}
			if t.Failed() {
				t.Fatalf("%s at call %d", name, at)
			}
			return calls
		})
	}
}

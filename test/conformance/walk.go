package conformance

import (
	"math/rand/v2"

	digest "github.com/opencontainers/go-digest"
)

// Random walks: several clients do valid things in random order to the same
// repositories. What was acknowledged is there, with all that belongs to it; what was
// not pushed, or was deleted, is not.
var walkChecks = []check{
	{"random", walk},
}

// walkRepositories is how many repositories the walkers share.
const walkRepositories = 3

func walk(c *C) {
	repos := make([]string, walkRepositories)
	for i := range repos {
		repos[i] = c.freshRepository()
	}
	// Layers that all walkers push, into all repositories.
	pool := make([]blob, 6)
	for i := range pool {
		pool[i] = c.content.blob(2000 + i)
	}
	o := c.options()
	walkers := make([]*walker, o.WalkWorkers)
	c.together(o.WalkWorkers, func(c *C, i int) {
		w := newWalker(c, i, repos, pool)
		walkers[i] = w
		for range o.WalkSteps {
			w.step()
		}
	})
	c.together(len(repos), func(c *C, i int) { verify(c, repos[i], walkers) })
}

// walker is one client, with what it was acknowledged.
type walker struct {
	c      *C
	id     int
	random *rand.Rand
	repos  []string
	pool   []blob
	model  map[string]*acknowledged // by repository
	// strange are digests that no repository is to have.
	strange []digest.Digest
	history []string
}

// acknowledged is what one walker made of one repository.
type acknowledged struct {
	live, gone []*object
	tags       map[string]*object
	// pushed are the blobs that are in the repository by this walker's doing.
	pushed map[digest.Digest]bool
	// removed are blobs of this walker's own that it deleted.
	removed []digest.Digest
}

func newWalker(c *C, id int, repos []string, pool []blob) *walker {
	w := &walker{
		c: c, id: id, repos: repos, pool: pool, model: map[string]*acknowledged{},
		random: rand.New(rand.NewPCG(c.session.seed, uint64(id))),
	}
	for _, repo := range repos {
		w.model[repo] = &acknowledged{tags: map[string]*object{}, pushed: map[digest.Digest]bool{}}
	}
	return w
}

// move is something that a walker may do next.
type move struct {
	name   string
	weight int
	do     func(w *walker, repo string, m *acknowledged)
}

var moves = []move{
	{"push by tag", 6, (*walker).pushByTag},
	{"push by digest", 4, (*walker).pushByDigest},
	{"push with tag parameters", 3, (*walker).pushWithTags},
	{"push an index", 4, (*walker).pushIndex},
	{"push a referrer", 3, (*walker).pushReferrer},
	{"move a tag", 4, (*walker).moveTag},
	{"delete a tag", 3, (*walker).deleteTag},
	{"delete a manifest", 3, (*walker).deleteManifest},
	{"push and delete a blob", 2, (*walker).deleteBlob},
	{"read", 6, (*walker).read},
	{"list", 2, (*walker).list},
	{"look for what is not there", 3, (*walker).lookForNothing},
	{"leave an upload", 2, (*walker).leaveUpload},
	{"be refused", 3, (*walker).beRefused},
}

func (w *walker) step() {
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	at := w.random.IntN(total)
	for _, m := range moves {
		if at -= m.weight; at >= 0 {
			continue
		}
		repo := w.repos[w.random.IntN(len(w.repos))]
		w.history = append(w.history, m.name+" in "+repo)
		done := false
		defer func() {
			if !done {
				w.c.Logf("walker %d, seed %d, did last: %q", w.id, w.c.session.seed, w.history[max(0, len(w.history)-8):])
			}
		}()
		m.do(w, repo, w.model[repo])
		done = true
		return
	}
}

func pick[T any](w *walker, from []T) T { return from[w.random.IntN(len(from))] }

package depcheck

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// CheckLayers returns what is wrong with the imports by Layers, a text each, and with
// Layers itself: components that it does not place, and names that no component has.
func CheckLayers(imports []Import, layers [][]string) []string {
	depth := map[string]int{}
	for i, layer := range layers {
		for _, component := range layer {
			depth[component] = i
		}
	}
	var wrong []string
	seen := map[string]bool{}
	for _, i := range imports {
		from := componentOf(i.Folder())
		seen[from] = true
		if _, ok := depth[from]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s stands in no layer: give it one in Layers", from))
			depth[from] = 0 // said once
		}
		folder, ours := strings.CutPrefix(i.Path, Module+"/")
		to := componentOf(folder)
		if ours && !i.Test() && to != from && depth[to] <= depth[from] {
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which does not stand below %s\nwhy not: %s",
				i.File, folder, from, layersWhy))
		}
	}
	for _, component := range slices.Sorted(maps.Keys(depth)) {
		if !seen[component] {
			wrong = append(wrong, fmt.Sprintf("Layers names %s, which has no Go file that imports anything", component))
		}
	}
	return wrong
}

// componentOf is the component that a folder belongs to: internal/x, or the first
// folder elsewhere.
func componentOf(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// CheckImports returns the import lines that break a rule, a text each.
func CheckImports(imports []Import, rules []Rule) []string {
	var wrong []string
	for _, rule := range rules {
		for _, i := range imports {
			if (!i.Test() || rule.Tests) && rule.about(i.Folder()) && rule.forbids(i.Path) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s\nwhy not: %s", i.File, i.Path, rule.Why))
			}
		}
	}
	return wrong
}

// CheckReach returns, for each package and rule, the shortest way to something that
// the rule forbids to reach, a text each.
func CheckReach(graph Graph, rules []Rule) []string {
	var wrong []string
	for _, rule := range rules {
		if !rule.Reach {
			continue
		}
		for _, pkg := range slices.Sorted(maps.Keys(graph)) {
			folder, ours := strings.CutPrefix(pkg, Module+"/")
			if !ours || !rule.about(folder) {
				continue
			}
			if way := graph.way(pkg, rule.forbids); way != nil {
				wrong = append(wrong, fmt.Sprintf("%s reaches %s\nthrough: %s\nwhy not: %s",
					folder, way[len(way)-1], strings.Join(way, " → "), rule.Why))
			}
		}
	}
	return wrong
}

// CheckNames returns the folders whose name says nothing, a text each.
func CheckNames(imports []Import) []string {
	var wrong []string
	for _, i := range imports {
		folder := i.Folder()
		text := fmt.Sprintf("%s: a name that says nothing\nwhy not: %s", folder, vagueNamesWhy)
		if slices.Contains(vagueNames, path.Base(folder)) && !slices.Contains(wrong, text) {
			wrong = append(wrong, text)
		}
	}
	return wrong
}

// ReachFolders are the folders that rules about reach are about.
func ReachFolders(rules []Rule) []string {
	var folders []string
	for _, rule := range rules {
		if rule.Reach {
			folders = append(folders, rule.In...)
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

func (r Rule) about(folder string) bool {
	return under(folder, r.In) && !under(folder, r.Except)
}

func (r Rule) forbids(imported string) bool { return under(imported, r.Not) }

// under reports whether a path is one of the roots or below one.
func under(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return root == "." || p == root || strings.HasPrefix(p, root+"/")
	})
}

// way is the shortest chain of imports from a package to one that ends says yes to.
func (g Graph) way(from string, ends func(string) bool) []string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]] {
			if _, seen := cameFrom[next]; seen {
				continue
			}
			cameFrom[next] = queue[0]
			if ends(next) {
				return unwind(cameFrom, next)
			}
			queue = append(queue, next)
		}
	}
	return nil
}

func unwind(cameFrom map[string]string, end string) []string {
	var way []string
	for at := end; at != ""; at = cameFrom[at] {
		way = append(way, at)
	}
	slices.Reverse(way)
	return way
}

package validation

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/reference"
)

// ImageStreamImport validates an import. It does not check target tags: they are validated with
// the stream that they are written to.
func ImageStreamImport(isi *imagev1.ImageStreamImport) field.ErrorList {
	errs := streamMeta(&isi.ObjectMeta)
	spec := field.NewPath("spec")
	if len(isi.Spec.Images) == 0 && isi.Spec.Repository == nil {
		errs = append(errs, field.Invalid(spec.Child("images"), []string{}, "images or a repository must be given"))
	}
	for i := range isi.Spec.Images {
		image := &isi.Spec.Images[i]
		at := spec.Child("images").Index(i)
		errs = append(errs, importSource(image.From, at.Child("from"), parseSearchable)...)
		if image.To != nil && image.To.Name == "" {
			errs = append(errs, field.Invalid(at.Child("to", "name"), "", "must be the name of a tag"))
		}
		errs = append(errs, importMode(image.ImportPolicy, at.Child("importPolicy"))...)
	}
	if r := isi.Spec.Repository; r != nil {
		at := spec.Child("repository")
		errs = append(errs, importSource(r.From, at.Child("from"), parseRepository)...)
		errs = append(errs, importMode(r.ImportPolicy, at.Child("importPolicy"))...)
	}
	return errs
}

// parseSearchable accepts pull specs and "*", which old clients use to search; it finds nothing.
func parseSearchable(text string) error {
	if text == "*" {
		return nil
	}
	return parsePullSpec(text)
}

// ImageStreamImportSources returns errors for the sources of a valid import whose registry is not
// allowed. It applies to callers without the right to create images.
func ImageStreamImportSources(isi *imagev1.ImageStreamImport, allower RegistryAllower) field.ErrorList {
	var errs field.ErrorList
	check := func(name string, insecure bool, at *field.Path) {
		spec, err := reference.Parse(name)
		if err != nil {
			return
		}
		transport := TransportSecure
		if insecure {
			transport = TransportInsecure
		}
		if err := allower.Allowed(spec, transport); err != nil {
			errs = append(errs, field.Forbidden(at.Child("from", "name"), err.Error()))
		}
	}
	spec := field.NewPath("spec")
	for i, image := range isi.Spec.Images {
		check(image.From.Name, image.ImportPolicy.Insecure, spec.Child("images").Index(i))
	}
	if r := isi.Spec.Repository; r != nil {
		check(r.From.Name, r.ImportPolicy.Insecure, spec.Child("repository"))
	}
	return errs
}

// anyRegistry is the RegistryAllower that allows all.
var anyRegistry RegistryAllower = (*AllowedRegistries)(nil)

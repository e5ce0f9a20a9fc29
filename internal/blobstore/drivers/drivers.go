// Package drivers provides storage drivers by configuration: a name, and parameters as in
// distribution's configuration, so that the storage section of an existing registry can
// be taken over. It is the only package with the libraries of object stores.
//
// Parameters are checked here, because the drivers do so unevenly: some take a misspelt
// parameter for none, read "10abc" as 10, answer with the value of a key that has the
// wrong type, or accept what makes them panic at the first use. All that is wrong is
// reported at once, by name and without secrets.
package drivers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	"weir.dev/weir/internal/blobstore/disk"
)

// parameterError is a parameter that cannot be used. It never holds the value of a
// secret.
type parameterError struct {
	// Driver is the driver's name as it was given.
	Driver string
	// Parameter is the parameter's name, "credentials.type" for one inside another.
	Parameter string
	// Reason completes "the parameter …".
	Reason string
}

// Error names the driver, the parameter and the reason.
func (e *parameterError) Error() string {
	return fmt.Sprintf("storage %s: parameter %s %s", e.Driver, e.Parameter, e.Reason)
}

// kind is one kind of storage.
type kind struct {
	parameters []parameter
	// check looks at parameters together, after each was checked by itself. It may set
	// defaults.
	check func(values map[string]any) []parameterError
	// open makes the driver; nil for distribution's factory of that name.
	open func(values map[string]any, dataDir string) (storagedriver.StorageDriver, error)
}

// kinds are the kinds of storage by the driver's name.
var kinds = map[string]kind{
	"filesystem": {parameters: filesystemParameters, open: openDisk},
	"inmemory":   {},
	"s3":         {parameters: s3Parameters, check: checkS3},
	"s3aws":      {parameters: s3Parameters, check: checkS3},
	"gcs":        {parameters: gcsParameters, check: checkGCS},
	"azure":      {parameters: azureParameters, check: checkAzure},
}

// Names are the names that Open takes, sorted.
func Names() []string { return slices.Sorted(maps.Keys(kinds)) }

// Validate reports everything that is wrong with a driver's name and parameters, as
// *ParameterErrors that are joined, without opening anything.
func Validate(name string, parameters map[string]any) error {
	_, err := validate(name, parameters)
	return err
}

// Open makes a storage driver. Without rootdirectory, "filesystem" keeps its files in the
// folder registry of dataDir. Object stores are not spoken to before they are used;
// ctx has to outlive the driver, some keep it for fetching tokens.
func Open(ctx context.Context, name string, parameters map[string]any, dataDir string) (storagedriver.StorageDriver, error) {
	values, err := validate(name, parameters)
	if err != nil {
		return nil, err
	}
	driver, err := create(ctx, name, values, dataDir)
	if err != nil {
		return nil, fmt.Errorf("opening storage %s: %w", name, redact(err, secretsOf(kinds[name], parameters)))
	}
	return driver, nil
}

// create makes the driver, and an error of its panic.
func create(ctx context.Context, name string, values map[string]any, dataDir string) (driver storagedriver.StorageDriver, err error) {
	defer func() {
		if r := recover(); r != nil {
			driver, err = nil, fmt.Errorf("the driver panicked on these parameters: %v", r)
		}
	}()
	if open := kinds[name].open; open != nil {
		return open(values, dataDir)
	}
	return factory.Create(ctx, name, values)
}

// Folder is the folder in which the driver "filesystem" keeps its files, see Open; "" for
// other drivers.
func Folder(name string, parameters map[string]any, dataDir string) string {
	if name != "filesystem" {
		return ""
	}
	if root, _ := parameters["rootdirectory"].(string); root != "" {
		return root
	}
	return filepath.Join(dataDir, "registry")
}

func openDisk(values map[string]any, dataDir string) (storagedriver.StorageDriver, error) {
	if root, _ := values["rootdirectory"].(string); root == "" && dataDir == "" {
		return nil, errors.New("a rootdirectory or a data folder is required")
	}
	root := Folder("filesystem", values, dataDir)
	threads := disk.DefaultMaxThreads
	if n, ok := values["maxthreads"].(int); ok {
		threads = n
	}
	driver, err := disk.Open(root, threads)
	if err != nil {
		return nil, err
	}
	return driver, nil
}

// validate returns the values as the driver wants them.
func validate(name string, parameters map[string]any) (map[string]any, error) {
	k, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("unknown storage %q: choose one of %s", name, strings.Join(Names(), ", "))
	}
	values, wrong := convert(k.parameters, parameters, "")
	if len(wrong) == 0 && k.check != nil {
		wrong = k.check(values)
	}
	errs := make([]error, len(wrong))
	for i := range wrong {
		wrong[i].Driver = name
		errs[i] = &wrong[i]
	}
	return values, errors.Join(errs...)
}

// redact takes secrets out of an error's text. Only then it loses its causes.
func redact(err error, secrets []string) error {
	text := err.Error()
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir.dev/weir/internal/backup"
	"weir.dev/weir/internal/blobstore/drivers"
	"weir.dev/weir/internal/config"
)

// storageFlags are the flags that say where a Weir keeps what is saved and restored.
type storageFlags struct{ dataDir, configFile string }

func (f *storageFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "weir-data", "The data folder, as for weir serve.")
	cmd.Flags().StringVar(&f.configFile, "config", "", "The configuration file, as for weir serve: it says where the registry's storage is.")
}

// registry is the folder of the registry's storage, "" if it is elsewhere.
func (f *storageFlags) registry() (folder string, storage config.StorageConfiguration, err error) {
	c := config.Default()
	if f.configFile != "" {
		if c, err = config.Load(f.configFile); err != nil {
			return "", storage, fmt.Errorf("--config: %w", err)
		}
	}
	storage = c.Registry.Storage
	return drivers.Folder(storage.Driver, storage.Parameters, f.dataDir), storage, nil
}

// run does the work of a command over the folder of the registry's storage, and prints that it is
// done. elsewhere is a format for the driver of a storage that is no folder.
func (f *storageFlags) run(cmd *cobra.Command, do func(registry string) error, done, elsewhere string) error {
	registry, storage, err := f.registry()
	if err != nil {
		return err
	}
	if err := do(registry); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), done)
	if registry == "" {
		fmt.Fprintf(cmd.OutOrStdout(), elsewhere, storage.Driver)
	}
	return nil
}

func newBackupCommand() *cobra.Command {
	var o backup.SaveOptions
	var at storageFlags
	cmd := &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Save etcd, the keys and the registry's files in a new folder",
		Long: `Saves what a running Weir stores in a folder that does not exist yet: a snapshot of
etcd, the keys and, if its storage is a file system, the registry's files. Weir goes on serving.

A backup has passwords and private keys in it. docs/operate/backup.md is about what it has
and how it is restored.`,
		Example: `  weir backup /backup/monday
  weir backup --previous /backup/monday /backup/tuesday`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Folder, o.DataDir = args[0], at.dataDir
			return at.run(cmd, func(registry string) error {
				o.Registry = registry
				return backup.Save(cmd.Context(), o)
			}, "The backup is complete: "+o.Folder, "It does not have the registry's storage (%s). Copy that now.\n")
		},
	}
	at.add(cmd)
	cmd.Flags().StringVar(&o.Previous, "previous", "", "An earlier backup on the same file system. Files that have not changed are shared with it by hard links.")
	cmd.Flags().StringVar(&o.Etcd.Endpoint, "etcd-endpoint", "", "One endpoint of an external etcd. Default: the embedded etcd of the data folder.")
	cmd.Flags().StringVar(&o.Etcd.CAFile, "etcd-cafile", "", "As for weir serve.")
	cmd.Flags().StringVar(&o.Etcd.CertFile, "etcd-certfile", "", "As for weir serve.")
	cmd.Flags().StringVar(&o.Etcd.KeyFile, "etcd-keyfile", "", "As for weir serve.")
	return cmd
}

func newRestoreCommand() *cobra.Command {
	var o backup.RestoreOptions
	var at storageFlags
	cmd := &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Make a data folder from a backup",
		Long: `Makes a new data folder from a backup of weir backup: etcd, the keys and, if its
storage is a file system, the registry's files. The data folder must not exist, or be empty.
Start weir serve over it afterwards.`,
		Example: `  weir restore --data-dir weir-data /backup/monday`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Folder, o.DataDir = args[0], at.dataDir
			return at.run(cmd, func(registry string) error {
				o.Registry = registry
				return backup.Restore(cmd.Context(), o)
			}, "The data folder is restored: "+o.DataDir, "Restore the registry's storage (%s) before weir serve starts.\n")
		},
	}
	at.add(cmd)
	cmd.Flags().BoolVar(&o.ExternalEtcd, "external-etcd", false, "Do not restore etcd: it is external, and restored with etcdutl from etcd.db in the backup.")
	return cmd
}

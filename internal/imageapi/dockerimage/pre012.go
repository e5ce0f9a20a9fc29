package dockerimage

import (
	"github.com/openshift/api/image/docker10"
	"github.com/openshift/api/image/dockerpre012"
)

// toPre012 changes the spelling: the two formats have the same fields. Labels are documented as
// unsupported by the older one, yet its type carries them, so nothing is lost.
func toPre012(in docker10.DockerImage) dockerpre012.DockerImage {
	out := dockerpre012.DockerImage{
		TypeMeta:        typeMeta(dockerpre012.GroupVersion),
		ID:              in.ID,
		Parent:          in.Parent,
		Comment:         in.Comment,
		Created:         in.Created,
		Container:       in.Container,
		ContainerConfig: dockerpre012.DockerConfig(in.ContainerConfig),
		DockerVersion:   in.DockerVersion,
		Author:          in.Author,
		Architecture:    in.Architecture,
		Size:            in.Size,
	}
	if in.Config != nil {
		config := dockerpre012.DockerConfig(*in.Config)
		out.Config = &config
	}
	return out
}

func fromPre012(in dockerpre012.DockerImage) docker10.DockerImage {
	out := docker10.DockerImage{
		ID:              in.ID,
		Parent:          in.Parent,
		Comment:         in.Comment,
		Created:         in.Created,
		Container:       in.Container,
		ContainerConfig: docker10.DockerConfig(in.ContainerConfig),
		DockerVersion:   in.DockerVersion,
		Author:          in.Author,
		Architecture:    in.Architecture,
		Size:            in.Size,
	}
	if in.Config != nil {
		config := docker10.DockerConfig(*in.Config)
		out.Config = &config
	}
	return out
}

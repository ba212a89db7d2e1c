using System.Reflection;
using System.Xml.Linq;

namespace CudaLora.Tests.Repo;

/// <summary>kernels, then engine, then lora, then cli: each sees only those before it.</summary>
public class DependencyTests
{
    // The only references allowed, by project file.
    private static readonly Dictionary<string, string[]> Projects = new()
    {
        ["kernels/CudaLora.Kernels.csproj"] = [],
        ["kernels/managedcuda/CudaLora.Kernels.ManagedCuda.csproj"] = ["kernels/CudaLora.Kernels.csproj"],
        ["engine/CudaLora.Engine.csproj"] = ["kernels/CudaLora.Kernels.csproj"],
        ["lora/CudaLora.Lora.csproj"] = ["engine/CudaLora.Engine.csproj"],
        ["lora/cli/cudalora.csproj"] = ["lora/CudaLora.Lora.csproj"],
    };

    private static readonly string[] Layers = ["CudaLora.Kernels", "CudaLora.Engine", "CudaLora.Lora", "cudalora"];

    [Fact]
    public void ProjectsReferenceTheLayerBelow()
    {
        foreach (var (project, allowed) in Projects)
            Assert.Equal(allowed, References(project));
    }

    [Fact]
    public void EveryProjectIsALayerOrATest()
    {
        var others = SourceTree.Files(".csproj").Where(
            path => !Projects.ContainsKey(path) && path.Split('/')[0] is not ("tests" or "bench"));
        Assert.Empty(others);
    }

    [Fact]
    public void OnlyTheProgramHasPackages()
    {
        foreach (var project in Projects.Keys.Where(p => p.StartsWith("kernels/CudaLora", StringComparison.Ordinal)
            || p.StartsWith("engine/", StringComparison.Ordinal)))
            Assert.Empty(XDocument.Load(SourceTree.Full(project)).Descendants("PackageReference"));
    }

    [Fact]
    public void AssembliesReferenceLayersBelowOnly()
    {
        for (var i = 0; i < Layers.Length; i++)
        {
            string[] forbidden = [.. Layers.Skip(i), "CudaLora.Tests", "CudaLora.Bench"];
            var references = Assembly.Load(Layers[i]).GetReferencedAssemblies().Select(name => name.Name!);
            Assert.Empty(references.Intersect(forbidden));
        }
    }

    private static IEnumerable<string> References(string project) =>
        XDocument.Load(SourceTree.Full(project)).Descendants("ProjectReference")
            .Select(reference => Path.GetRelativePath(
                SharedData.Root,
                Path.GetFullPath(Path.Combine(
                    Path.GetDirectoryName(SourceTree.Full(project))!, reference.Attribute("Include")!.Value)))
                .Replace('\\', '/'));
}

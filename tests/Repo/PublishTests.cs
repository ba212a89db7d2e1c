using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using CudaLora.Tests.Embedder;

namespace CudaLora.Tests.Repo;

/// <summary>
/// A host of the libraries does the same when NativeAOT has trimmed and compiled it. That the code is fit for it is
/// checked by the analyzers in every build; this shows that the whole is.
/// </summary>
[Collection(nameof(PublishTests))]
public class PublishTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);

    // A feed without the compiler's packages, or a machine without a linker, is no fault of the project's.
    private static readonly string[] Missing =
        ["NU1101", "NU1102", "NU1103", "NU1301", "Platform linker ('clang' or 'gcc')", "unable to find library -l"];

    [Fact]
    public void AHostPublishedWithNativeAotDoesTheSame()
    {
        Assert.SkipUnless(
            OperatingSystem.IsLinux() && Directory.Exists(SourceTree.Full("tests/Embedder")),
            "NativeAOT is tested on Linux, from the sources");
        using var folder = new TemporaryFolder();
        var (code, said) = Output(
            "dotnet", "publish", SourceTree.Full("tests/Embedder/Embedder.csproj"), "-c", "Release", "-r",
            RuntimeInformation.RuntimeIdentifier, "-o", folder.File("app"), "-v", "q", "-nologo");
        Assert.SkipWhen(code != 0 && Missing.Any(said.Contains), $"this machine cannot publish with NativeAOT: {said}");
        Assert.True(code == 0, said);
        Assert.DoesNotContain("warning", said, StringComparison.Ordinal);
        var bundled = SourceTree.Full("lora/cli/bundled");
        var (model, data) = (Path.Combine(bundled, "model"), Path.Combine(bundled, "train.jsonl"));

        var here = HostWork.Run(model, data, folder.File("here")).ToArray();
        var (ended, there) = Output(folder.File("app/embedder"), model, data, folder.File("there"));

        Assert.True(ended == 0, there);
        Assert.Equal(string.Join('\n', here), there.ReplaceLineEndings("\n").TrimEnd());
        Assert.Equal(Files("here"), Files("there"));

        string[] Files(string output) => [.. Directory.GetFiles(folder.File(output)).Select(Path.GetFileName).Order()!];
    }

    internal static (int Code, string Text) Output(string program, params string[] arguments)
    {
        Process process;
        try
        {
            process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        }
        catch (Win32Exception)
        {
            Assert.Skip($"there is no '{program}' here");
            return default;
        }
        using (process)
        {
            var text = process.StandardOutput.ReadToEndAsync();
            if (!process.WaitForExit(Patience))
            {
                process.Kill(entireProcessTree: true);
                Assert.Fail($"'{program}' did not end in {Patience.TotalMinutes} minutes");
            }
            return (process.ExitCode, text.Result);
        }
    }
}

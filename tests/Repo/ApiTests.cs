using System.Reflection;

namespace CudaLora.Tests.Repo;

/// <summary>
/// What the libraries offer, as text in tests/Repo/api. A change there is a change that users see. To accept it, run
/// this test once with the environment variable UPDATE_SNAPSHOTS=1 and commit the new text.
/// </summary>
public class ApiTests
{
    [Theory]
    [InlineData("CudaLora.Kernels")]
    [InlineData("CudaLora.Engine")]
    [InlineData("CudaLora.Lora")]
    public void PublicMembersAreThoseOfTheSnapshot(string library)
    {
        var path = SourceTree.Full($"tests/Repo/api/{library}.txt");
        var actual = ApiText.Of(Assembly.Load(library));
        if (Environment.GetEnvironmentVariable("UPDATE_SNAPSHOTS") == "1")
            File.WriteAllText(path, actual);
        var expected = File.ReadAllText(path).ReplaceLineEndings("\n");
        if (expected == actual)
            return;
        var (before, after) = (expected.Split('\n'), actual.Split('\n'));
        Assert.Fail($"{library}'s public API is not that of {path}; if that is meant, run this test with "
            + "UPDATE_SNAPSHOTS=1 and commit the file.\n"
            + string.Join('\n', before.Except(after).Select(line => $"- {line.Trim()}")
                .Concat(after.Except(before).Select(line => $"+ {line.Trim()}"))));
    }
}

using CudaLora.Engine;

namespace CudaLora.Tests.Repo;

/// <summary>
/// The C# blocks of README.md, word for word: the body of each private method is one block, and its test runs it. To
/// change a block, change it here and copy the body there.
/// </summary>
public class ReadmeSamples
{
    // Takes the place of System.Console in the samples.
    private StringWriter Console { get; } = new();

    [Fact]
    public void XorLearnsXor()
    {
        Xor();
        var lines = Console.ToString().TrimEnd().ReplaceLineEndings("\n").Split('\n');
        Assert.Equal("0^0 = 0.00  0^1 = 1.00  1^0 = 1.00  1^1 = 0.00", lines[^1].Replace("-0.00", "0.00"));
    }

    private void Xor()
    {
        var random = new Generator(seed: 1);
        using var hidden = new Linear(2, 8, random);
        using var output = new Linear(8, 1, random);
        using var adam = new AdamW([.. hidden.Parameters(), .. output.Parameters()], learningRate: 0.05);

        using var x = Tensor.From(new float[,] { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } });
        using var y = Tensor.From(new float[,] { { 0 }, { 1 }, { 1 }, { 0 } });

        Tensor Predict(Tensor input) => output.Forward(hidden.Forward(input).Gelu());

        for (var step = 1; step <= 200; step++)
        {
            using var scope = TensorScope.Begin(); // releases the step's tensors
            var error = Predict(x) - y;
            var loss = (error * error).Mean();
            adam.ZeroGrad();
            loss.Backward();
            adam.Step();
            if (step % 50 == 0)
                Console.WriteLine($"step {step,3}  loss {loss.Item():F6}");
        }

        using var last = TensorScope.Begin();
        var p = Predict(x).ToArray();
        Console.WriteLine($"0^0 = {p[0]:F2}  0^1 = {p[1]:F2}  1^0 = {p[2]:F2}  1^1 = {p[3]:F2}");
    }
}

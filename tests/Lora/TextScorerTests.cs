using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public class TextScorerTests
{
    private static readonly PromptResponse[] Texts =
        [new([1, 5, 9], [7, 8]), new([3], [4, 5, 6, 10, 11]), new([2, 2, 2, 30], [60])];

    [Fact]
    public void TheyAreThoseOfTheWholeLogits()
    {
        using var model = TrainerTests.TinyModel();
        using var adapter = LoraAdapter.Create(
            model, TrainerTests.Config(0.5) with { InitLoraWeights = LoraInit.Random }, new Generator(1));
        model.Training = true; // which must not let dropout in
        var scores = model.LogProbs(Texts, batchSize: 2);
        Assert.True(model.Training);
        model.Training = false;
        for (var i = 0; i < Texts.Length; i++)
        {
            int[] ids = [.. Texts[i].Prompt, .. Texts[i].Response];
            using var scope = TensorScope.Begin();
            var logits = model.Forward(Tensor.From(ids, Shape.Of(1, ids.Length))).ToArray();
            var expected = Texts[i].Response.Select(
                (id, k) => LogSoftmax(logits, Texts[i].Prompt.Count + k - 1, id, model.Config.VocabSize)).ToArray();
            Assert.Equal(expected.Length, scores[i].Length);
            // F32 against a softmax in doubles on the same logits, whose products are of other shapes.
            for (var k = 0; k < expected.Length; k++)
                Assert.Equal(expected[k], scores[i][k], 1e-4);
            // A batch changes rounding at most.
            Assert.Equal(scores[i].Sum(), model.LogProbs(Texts[i].Prompt, Texts[i].Response).Sum(), 1e-4f);
        }
    }

    [Fact]
    public void WhatCannotBeScoredIsRefused()
    {
        using var model = TrainerTests.TinyModel();
        Assert.Empty(model.LogProbs([]));
        Assert.Contains(
            "0 and 1", Assert.Throws<UserErrorException>(() => model.LogProbs([], [1])).Message,
            StringComparison.Ordinal);
        Assert.Throws<UserErrorException>(() => model.LogProbs([1], []));
        Assert.Throws<UserErrorException>(() => model.LogProbs([1], new int[model.Config.MaxPositions]));
        Assert.Throws<OperationCanceledException>(() => model.LogProbs(Texts, cancel: new CancellationToken(true)));
    }

    private static double LogSoftmax(float[] logits, int row, int id, int width)
    {
        var line = logits.AsSpan(row * width, width).ToArray();
        var max = (double)line.Max();
        return line[id] - max - Math.Log(line.Sum(x => Math.Exp(x - max)));
    }
}

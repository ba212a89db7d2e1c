namespace CudaLora.Cli;

/// <summary>How well a model does on held-out records.</summary>
/// <param name="Loss">Mean per learned token, or null without held-out records.</param>
/// <param name="Answers">Generated answers; empty where there are no references.</param>
internal sealed record HeldOutScore(double? Loss, IReadOnlyList<Answer> Answers)
{
    public static HeldOutScore None { get; } = new(null, []);

    public double? Perplexity => Loss is double loss ? Math.Exp(loss) : null;

    public double? ExactMatch => AnswerCheck.Share(Answers);
}
